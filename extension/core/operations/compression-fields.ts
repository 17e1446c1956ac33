import { join } from 'node:path';
import { defaultCalibration } from '../data/calibration-defaults';
import type { CompressionSettings } from '../pipelines/compression/compress-model';
import { calibrationFor } from '../pipelines/compression/start-calibration';
import { idsPort } from '../models/example';
import type { LayeredModel } from '../models/layered-model';
import type { OpenedModel } from '../models/opened-model';
import { listLayers } from '../pipelines/compression/layer-choices';
import type { CompressionChoice } from '../tensornet/compression-choice';
import { decompositionCost } from '../tensornet/sensitivity/expected-cost';
import { choice, flag, group, integer } from './fields';
import type { RequestOf } from './fields';
import type { Environment } from './operation';
import { switchedOff } from './rules';
import {
  calibrationFields,
  calibrationNames,
  requestedCalibration,
  calibrationRules,
} from './shared-fields';
import type { Work } from './work';

const calibration = calibrationFields(defaultCalibration);
const { sequences } = calibration;

/** Compression settings that a plan doesn't specify. */
export const compressionFields = {
  ...calibration,
  sequences: { ...sequences, fallback: `${sequences.fallback}, more for low rank` },
  ...group('Compression', {
    calibrate: flag({
      description: 'Use calibration for methods that look at the inputs of a layer',
      default: true,
      off: 'Compress without calibration data',
      flag: 'calibration',
    }),
    qdq: flag({
      description: 'Write quantized ONNX weights with QuantizeLinear and DequantizeLinear',
      default: false,
    }),
    mpoRun: choice(['contracted', 'chained'], {
      description: 'Execution of matrix product operators',
      fallback: 'the faster one on this machine',
      placeholder: 'METHOD',
    }),
    rows: integer({
      description: 'Rows per matmul to optimize for; decoding has 1',
      default: 1,
      min: 1,
    }),
    dtype: choice(['F32', 'F16'], {
      description: 'Data type of factors and cores',
      fallback: 'F16 if the weights have 16 bits',
      placeholder: 'DTYPE',
    }),
    seed: integer({ description: 'Seed of random projections', default: 0 }),
  }),
};

export const compressionRules = [...calibrationRules, switchedOff('calibrate', calibrationNames)];

/** Work of compressing matrices, mostly their decomposition. */
export function choicesWork(
  { model, summary }: OpenedModel,
  choices: readonly CompressionChoice[],
  ...settings: readonly boolean[]
): Work {
  const matrices = new Map(
    [...listLayers(model), ...model.embeddingAndHeadMatrices].map((matrix) => [matrix.id, matrix]),
  );
  const methods = choices.map(({ method, variant, then }) => [method, variant, then].join());
  const amounts = choices.map(({ tensor }) => {
    const matrix = matrices.get(tensor);
    return matrix === undefined ? 0 : decompositionCost(matrix);
  });
  return {
    kind: [[...new Set(methods)].sort(), ...settings],
    amount: amounts.reduce((sum, one) => sum + one, 0),
    parameters: summary.parameters,
  };
}

/** Compression settings of a request. Text models are calibrated on the bundled text if none is given. */
export function compressionSettings(
  request: RequestOf<typeof compressionFields>,
  model: LayeredModel,
  choices: readonly CompressionChoice[],
  { samples, costsFolder }: Environment,
): CompressionSettings {
  const { calibrate, qdq, mpoRun, rows, dtype, seed } = request;
  const given = request.calibration ?? request.calibrationScores;
  const calibrates = calibrate && (given !== undefined || idsPort(model.inputs) !== undefined);
  return {
    ...(calibrates
      ? {
          calibration: {
            request: requestedCalibration(request, calibrationFor(model, choices)),
            bundledText: join(samples, 'calibration.txt'),
          },
        }
      : {}),
    ...(qdq ? { run: 'qdq' as const } : {}),
    ...(mpoRun === undefined ? { costs: { folder: costsFolder, rows } } : { mpoRun }),
    ...(dtype === undefined ? {} : { dtype }),
    seed,
  };
}
