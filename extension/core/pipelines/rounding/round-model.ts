import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { blockCodecs } from '../../checkpoints/quantize/block-codecs';
import type { BlockType } from '../../checkpoints/quantize/block-codecs';
import { rowBytes } from '../../checkpoints/quantize/quantizers';
import { hasFloatRows } from '../../checkpoints/lazy-tensor';
import type { WritableType } from '../../checkpoints/ggml-types';
import { writeAll } from '../../export/byte-copier';
import type { ByteRange } from '../../export/byte-copier';
import { withChanges } from '../../export/changes';
import { tensorPlace } from '../../export/gguf/input-sums';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { onPath } from '../../jobs/write-errors';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import { say } from '../../message';
import type { LinearLayer, MatrixEncoding } from '../../models/matrix-encoding';
import type { OpenedModel } from '../../models/opened-model';
import type { DeviceName } from '../../runtime/device';
import { factorHessian } from '../../tensornet/quantize/hessian';
import { roundToBlocks } from '../../tensornet/quantize/round-blocks';
import type { InputStatistics } from '../../tensornet/statistics/input-statistics';
import { startCalibration } from '../compression/start-calibration';
import type { CompressCalibration } from '../compression/start-calibration';

/** Calibration of error-feedback rounding. */
export interface RoundingCalibration extends CompressCalibration {
  /** Seed of random inputs. */
  readonly seed?: number;
}

interface RoundingOptions {
  readonly calibration: RoundingCalibration;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** A linear layer, and where its rows go in the file of rounded tensors. */
interface RoundedLayer {
  readonly layer: LinearLayer;
  readonly type: BlockType;
  /** Tensor of the GGUF file. */
  readonly name: string;
  readonly range: ByteRange;
}

const isBlockType = (type: WritableType | undefined): type is BlockType =>
  type !== undefined && Object.hasOwn(blockCodecs, type);

/**
 * Rounds the linear layers of a GGUF file to the types asked for, sublayer by sublayer with error feedback, and writes
 * their bytes to `path`. Calibration goes on through what is rounded, so that each sublayer sees the inputs that it will
 * get.
 * @param types by the names of the file's tensors; others are left out
 * @returns where the bytes of each tensor are
 */
export async function roundModel(
  { model }: OpenedModel,
  types: ReadonlyMap<string, WritableType>,
  path: string,
  { calibration, device, memoryBytes }: RoundingOptions,
  context: JobContext,
): Promise<ReadonlyMap<string, ByteRange>> {
  const layers = model.summary.sublayers.flatMap((_, index) => model.sublayer(index).linearLayers);
  const tensors = new Map<string, ByteRange>();
  const planned = planLayers(layers, types, path, tensors);
  const done = new Map<string, MatrixEncoding>();
  const products = new MatrixProducts(device, memoryBytes);
  const handle = await onPath(path, async () => open(path, 'w'));
  const run = { model, device, memoryBytes };
  let started: Awaited<ReturnType<typeof startCalibration>> | undefined;
  try {
    started = await startCalibration(run, products, calibration, calibration, context);
    for (const index of model.summary.sublayers.keys()) {
      const own = planned.filter(({ layer }) => layer.sublayer === index);
      const open = own.filter(({ layer }) => !done.has(layer.id));
      const statistics = open.length === 0 ? undefined : await started.pass.statistics(index);
      for (const one of open) {
        await checkpoint(context.cancellation);
        context.progress({
          ...{ stage: say`Rounding ${one.name}`, unit: 'steps' },
          ...{ done: done.size, total: planned.length },
        });
        done.set(
          one.layer.id,
          await roundLayer(one, statistics?.get(one.layer.id), products, handle),
        );
      }
      if (own.length > 0) {
        const matrices = new Map(
          own.flatMap(({ layer: { id } }) => {
            const form = done.get(id);
            return form === undefined ? [] : [[id, form] as const];
          }),
        );
        await started.pass.replace(
          index,
          withChanges(model, { matrices, patches: new Map() }).sublayer(index),
        );
      }
    }
    await onPath(path, async () => handle.sync());
  } finally {
    await handle.close();
    await products.dispose();
    await started?.executor.dispose();
  }
  return tensors;
}

/** Lays out the tensors one after the other; experts of one tensor in their order. */
function planLayers(
  layers: readonly LinearLayer[],
  types: ReadonlyMap<string, WritableType>,
  file: string,
  tensors: Map<string, ByteRange>,
): RoundedLayer[] {
  const experts = new Map<string, number>();
  for (const { name, expert = 0 } of layers.map(tensorPlace)) {
    experts.set(name, Math.max(experts.get(name) ?? 0, expert + 1));
  }
  let end = 0;
  return layers.flatMap((layer) => {
    const { name, expert = 0 } = tensorPlace(layer);
    const type = types.get(name);
    if (!isBlockType(type) || layer.transposed || !hasFloatRows(layer.weight)) {
      return [];
    }
    const length = layer.out * rowBytes(type, layer.in);
    const known = tensors.get(name);
    const tensor = known ?? { file, offset: end, length: length * (experts.get(name) ?? 1) };
    if (known === undefined) {
      tensors.set(name, tensor);
      end += tensor.length;
    }
    const range = { file, offset: tensor.offset + expert * length, length };
    return [{ layer, type, name, range }];
  });
}

/** Rounds a layer, and gives it as it is read from the file. */
async function roundLayer(
  { layer, type, range }: RoundedLayer,
  statistics: InputStatistics | undefined,
  products: MatrixProducts,
  handle: FileHandle,
): Promise<MatrixEncoding> {
  const { weight } = layer;
  // Rows are rounded in the file's order, and put in that of the model again where they are read.
  const { interleavedHeads: _, ...inFile } = weight;
  const matrix = await products.read({ kind: 'stored', tensor: inFile });
  // Experts that no token reached are rounded as if their inputs were independent.
  const gram = statistics?.gram ?? {
    size: layer.in,
    numbers: new Float64Array(layer.in * layer.in),
  };
  const factor = await factorHessian(products, gram, false);
  const bytes = await roundToBlocks(products, matrix, type, factor);
  await writeAll(handle, range.file, bytes, range.offset);
  return { kind: 'dense', weight: { ...weight, ...range, dtype: type } };
}
