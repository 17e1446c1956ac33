import { elementCount } from '../checkpoints/lazy-tensor';
import type { TensorData } from '../checkpoints/lazy-tensor';
import { encodingTensors } from '../models/encodings/encoding-facts';
import type { MatrixEncoding } from '../models/matrix-encoding';
import type { Compression, QuantizerName } from './compression-choice';
import type { CompressionContext } from './compression-context';
import { compressionMethods, resolveVariant } from './compression-methods';
import type { MatrixSizes } from './compression-methods';
import { bondSizes } from './mpo';
import { chooseSites } from './mpo-form';
import { isAsymmetric, smooth } from './quantize/quantizers';

/** Tensor that doesn't exist yet. */
export type PlannedTensor = Pick<TensorData, 'dtype' | 'shape'>;

const elementBytes: Readonly<Record<TensorData['dtype'], number>> = {
  F32: 4,
  F16: 2,
  U8: 1,
  I8: 1,
};

/** Stored bytes of all tensors of an encoding. */
export function formBytes(form: MatrixEncoding<PlannedTensor>): number {
  return encodingTensors<PlannedTensor>(form).reduce(
    (sum, { dtype, shape }) => sum + elementCount(shape) * elementBytes[dtype],
    0,
  );
}

/** Predicts the tensors of a compressed matrix, exact to the byte, without computing it. */
export function plannedForm(
  layer: MatrixSizes,
  compression: Compression,
  settings: Pick<CompressionContext, 'dtype' | 'run' | 'mpoRun'> & {
    readonly isCalibrated: boolean;
  },
): MatrixEncoding<PlannedTensor> {
  const { out, in: inputs } = layer;
  const { method, setting, then, sites: choice } = compression;
  const { dtype = 'F32', run = 'matmul-nbits', mpoRun = 'contracted', isCalibrated } = settings;
  const variant = resolveVariant(compression, isCalibrated);
  const dense = (...shape: number[]): MatrixEncoding<PlannedTensor> => ({
    kind: 'dense',
    weight: { dtype, shape },
  });
  const quantized = (
    rows: number,
    columns: number,
    quantizer: QuantizerName,
    groupSize: number,
    hasZeros: boolean,
  ): MatrixEncoding<PlannedTensor> => {
    if (groupSize === 0) {
      return {
        kind: 'int8',
        quants: { dtype: 'I8', shape: [columns, rows] },
        scales: { dtype: 'F32', shape: [rows] },
        ...(variant === smooth ? { inputScale: { dtype: 'F32', shape: [columns] } } : {}),
      };
    }
    const bits = quantizer === 'int8' ? 8 : 4;
    const blocks = Math.ceil(columns / groupSize);
    return {
      kind: 'group-quantized',
      bits,
      groupSize,
      out: rows,
      in: columns,
      quants: { dtype: 'U8', shape: [rows, blocks, (groupSize * bits) / 8] },
      scales: { dtype: 'F32', shape: [rows, blocks] },
      ...(hasZeros
        ? { zeros: { dtype: 'U8', shape: [rows, Math.ceil((blocks * bits) / 8)] } }
        : {}),
      run,
    };
  };
  switch (method) {
    case 'lowrank': {
      const rank = Math.min(setting, out, inputs);
      const factor = (rows: number, columns: number): MatrixEncoding<PlannedTensor> =>
        then === undefined
          ? dense(rows, columns)
          : quantized(rows, columns, then, compressionMethods[then].defaultSetting(layer), false);
      return { kind: 'low-rank', rank, left: factor(out, rank), right: factor(rank, inputs) };
    }
    case 'mpo': {
      const sites = chooseSites(out, inputs, choice);
      const bonds = bondSizes(sites, setting);
      return {
        kind: 'mpo',
        sites,
        bonds,
        cores: sites.out.map((size, k) => ({
          dtype,
          shape: [bonds[k - 1] ?? 1, size, sites.in[k] ?? 1, bonds[k] ?? 1],
        })),
        run: mpoRun,
        ...(variant === 'scaled' ? { inputScale: { dtype: 'F32', shape: [inputs] } } : {}),
      };
    }
    case 'gguf':
      return { kind: 'dense', weight: { dtype: 'F32', shape: [out, inputs] } };
    case 'int8':
    case 'int4':
      return quantized(out, inputs, method, setting, isAsymmetric(variant));
  }
}
