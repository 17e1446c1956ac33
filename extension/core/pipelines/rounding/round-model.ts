import type { FileHandle } from 'node:fs/promises';
import { isBlockType } from '../../checkpoints/quantize/block-codecs';
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
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import { say } from '../../message';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, MatrixEncoding, ModelMatrix } from '../../models/matrix-encoding';
import { stream, streamWidth } from '../../models/model-emitter';
import type { OpenedModel } from '../../models/opened-model';
import { DataType } from '../../onnx/graph-builder';
import type { Dimension } from '../../onnx/graph-builder';
import type { DeviceName } from '../../runtime/device';
import { pick } from '../../runtime/step-values';
import { floatOutput } from '../../runtime/tensors';
import type { HiddenState } from '../../runtime/tensors';
import { factorHessian } from '../../tensornet/quantize/gptq';
import type { HessianFactor } from '../../tensornet/quantize/gptq';
import { roundToBlocks } from '../../tensornet/quantize/round-blocks';
import { ShiftedTargets } from '../../tensornet/quantize/shifted-targets';
import type { SublayerStatistics } from '../../tensornet/statistics/calibration-pass';
import type { InputStatistics } from '../../tensornet/statistics/statistics-accumulator';
import { StatisticsAccumulator } from '../../tensornet/statistics/statistics-accumulator';
import { embeddingStatistics, findEmbedding } from './embedding-statistics';
import { startCalibration } from '../compression/start-calibration';
import type { RoundingCalibration, StartedCalibration } from '../compression/start-calibration';
import type { RoundingStore } from './rounding-store';

interface RoundingOptions {
  readonly calibration: RoundingCalibration;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** A matrix, and where its rows go in the file of rounded tensors. */
interface RoundedMatrix {
  readonly matrix: ModelMatrix;
  readonly type: BlockType;
  /** Tensor of the GGUF file. */
  readonly name: string;
  readonly range: ByteRange;
}

/**
 * Rounds the token embedding, the linear layers and the LM head of a GGUF file to the types asked for, sublayer by
 * sublayer with error feedback, and writes their bytes to the store's file. Calibration goes on through what is rounded,
 * so that each sublayer sees the inputs that it will get. Tensors that the store has are not rounded again. An embedding
 * without statistics is left out.
 * @param types by the names of the file's tensors; others are left out
 * @returns where the bytes of each tensor are
 */
export async function roundModel(
  { model }: OpenedModel,
  types: ReadonlyMap<string, WritableType>,
  store: RoundingStore,
  { calibration, device, memoryBytes }: RoundingOptions,
  context: JobContext,
): Promise<ReadonlyMap<string, ByteRange>> {
  const layers = model.summary.sublayers.flatMap((_, index) => model.sublayer(index).linearLayers);
  const tensors = new Map<string, ByteRange>();
  const embeddings = findEmbedding(model);
  const matrices = [...layers, ...findHead(model), ...embeddings];
  const planned = planMatrices(matrices, types, store.path, tensors);
  if (planned.every(({ matrix }) => store.has(matrix.id))) {
    return tensors;
  }
  const products = new MatrixProducts(device, memoryBytes);
  const file = await store.openFile();
  const rounder = new MatrixRounder(products, memoryBytes, file);
  let done = planned.filter(({ matrix }) => store.has(matrix.id)).length;
  const embedding = planned.find(({ matrix: { id } }) => id === embeddings[0]?.id);
  const round = async (
    matrices: readonly RoundedMatrix[],
    statistics: SublayerStatistics,
  ): Promise<void> => {
    for (const one of matrices) {
      await checkpoint(context.cancellation);
      const stage = say`Rounding ${one.name}`;
      context.progress({ stage, unit: 'steps', done, total: planned.length });
      await rounder.round(one, await statistics.get(one.matrix.id));
      done += 1;
    }
    await store.add(
      matrices.map(({ matrix }) => matrix.id),
      file,
    );
  };
  let started: StartedCalibration | undefined;
  try {
    if (embedding !== undefined && !store.has(embedding.matrix.id)) {
      const how = { products, memoryBytes };
      const statistics = await embeddingStatistics(model, calibration, how, context);
      if (statistics === undefined) {
        tensors.delete(embedding.name);
        if (planned.every((one) => one === embedding || store.has(one.matrix.id))) {
          return tensors;
        }
      } else {
        await round([embedding], new Map([[embedding.matrix.id, statistics]]));
      }
    }
    const run = {
      model: withRounded(
        model,
        embedding !== undefined && store.has(embedding.matrix.id) ? [embedding] : [],
      ),
      ...{ device, memoryBytes },
    };
    const how = { seed: calibration.seed ?? 0, original: model };
    started = await startCalibration(run, products, calibration, how, context);
    for (const index of model.summary.sublayers.keys()) {
      const ids = new Set(model.sublayer(index).linearLayers.map(({ id }) => id));
      const own = planned.filter(({ matrix }) => ids.has(matrix.id));
      if (own.length === 0) {
        continue;
      }
      if (!own.every(({ matrix }) => store.has(matrix.id))) {
        await round(own, await started.pass.statistics(index));
      }
      await started.pass.replace(index, withRounded(model, own).sublayer(index));
    }
    const heads = planned.filter((one) => one !== embedding && !store.has(one.matrix.id));
    if (heads.length > 0) {
      const statistics = await headStatistics(started, products, context);
      await round(
        heads,
        new Map(statistics === undefined ? [] : heads.map(({ matrix }) => [matrix.id, statistics])),
      );
    }
  } finally {
    await file.close();
    await products.dispose();
    await started?.executor.dispose();
  }
  return tensors;
}

/** The LM head of a model that reads it as one matrix. */
function findHead({ embeddingAndHeadMatrices, emitter }: LayeredModel): readonly ModelMatrix[] {
  const heads = embeddingAndHeadMatrices.filter(
    ({ place, in: width }) => place === 'head' && width === emitter?.hiddenSize,
  );
  return heads.length === 1 ? heads : [];
}

/** Name of the LM head in errors about its inputs. */
const headName = 'LM head';

/** Statistics of the rows that the LM head reads. */
async function headStatistics(
  { pass, executor }: StartedCalibration,
  products: MatrixProducts,
  context: Pick<JobContext, 'cancellation'>,
): Promise<InputStatistics | undefined> {
  const { emitter } = executor.model;
  if (emitter === undefined) {
    return undefined;
  }
  const readRows = async ({ values }: HiddenState): Promise<ReadonlyMap<string, Rows>> => {
    const outputs = await executor.read(
      {
        key: 'head-inputs',
        costs: { bytes: 0 },
        build: (graph) => {
          const shape = (width: number): Dimension[] => ['batch', 'rows', width];
          const hidden = graph.input(stream, DataType.FLOAT, shape(streamWidth(emitter)));
          const rows = emitter.emitFinalNorm(graph, hidden);
          graph.output('rows', rows, DataType.FLOAT, shape(emitter.hiddenSize));
        },
      },
      pick([stream], values),
    );
    const length = emitter.hiddenSize;
    const numbers = floatOutput(outputs, 'rows');
    return new Map([[headName, { count: numbers.length / length, length, numbers }]]);
  };
  const accumulator = new StatisticsAccumulator(products);
  const { states, originals } = await pass.finalStates();
  for (const [i, state] of states.entries()) {
    const original = await readRows(originals[i] ?? state);
    await accumulator.addPair(await readRows(state), original, new Map());
    await checkpoint(context.cancellation);
  }
  return (await accumulator.finish()).get(headName);
}

/** Lays out the tensors one after the other; experts of one tensor in their order. */
function planMatrices(
  matrices: readonly (ModelMatrix & Partial<Pick<LinearLayer, 'expert' | 'sublayer'>>)[],
  types: ReadonlyMap<string, WritableType>,
  file: string,
  tensors: Map<string, ByteRange>,
): RoundedMatrix[] {
  const placed = matrices.map((matrix) => ({
    matrix,
    // A tied LM head is stored as the embedding.
    ...(matrix.sublayer === undefined ? { name: matrix.weight.name } : tensorPlace(matrix)),
  }));
  const experts = new Map<string, number>();
  for (const { name, expert = 0 } of placed) {
    experts.set(name, Math.max(experts.get(name) ?? 0, expert + 1));
  }
  let end = 0;
  return placed.flatMap(({ matrix, name, expert = 0 }) => {
    const type = types.get(name);
    if (!isBlockType(type) || matrix.transposed || !hasFloatRows(matrix.weight)) {
      return [];
    }
    const length = matrix.out * rowBytes(type, matrix.in);
    const known = tensors.get(name);
    const tensor = known ?? { file, offset: end, length: length * (experts.get(name) ?? 1) };
    if (known === undefined) {
      tensors.set(name, tensor);
      end += tensor.length;
    }
    const range = { file, offset: tensor.offset + expert * length, length };
    return [{ matrix, type, name, range }];
  });
}

/** The model with matrices as read from the file. */
const withRounded = (model: LayeredModel, rounded: readonly RoundedMatrix[]): LayeredModel =>
  withChanges(model, {
    matrices: new Map(rounded.map((one) => [one.matrix.id, asRounded(one)])),
    patches: new Map<string, never>(),
  });

/** Quantized matrix as read from the file. */
const asRounded = ({ matrix: { weight }, type, range }: RoundedMatrix): MatrixEncoding => ({
  kind: 'dense',
  weight: { ...weight, ...range, dtype: type },
});

/** Part of the memory for the rows of a matrix that are rounded together. */
const rowsShare = 1 / 4;
/** Copies of these rows in float32: weights, errors, targets, and matmul inputs and outputs. */
const rowCopies = 7;

/** The factor of a Hessian and the targets of the layers that share its inputs. */
interface SharedFit {
  readonly statistics: InputStatistics;
  readonly factor: HessianFactor;
  /** Undefined if the inputs were not compared with those of the original model. */
  readonly targets: ShiftedTargets | undefined;
}

/** Rounds matrices some rows at a time. Consecutive matrices with the same inputs share what is computed from them. */
class MatrixRounder {
  private known: SharedFit | undefined;

  public constructor(
    private readonly products: MatrixProducts,
    private readonly memoryBytes: number,
    private readonly file: FileHandle,
  ) {}

  public async round(
    { matrix: { weight, in: inputs, out }, type, range }: RoundedMatrix,
    statistics: InputStatistics | undefined,
  ): Promise<void> {
    // Rows are quantized in file order and reordered when they are read.
    const { interleavedHeads: _, ...inFile } = weight;
    const { factor, targets } = await this.fit(statistics, inputs);
    const bytesPerRow = rowCopies * inputs * Float32Array.BYTES_PER_ELEMENT;
    const rows = Math.max(1, Math.floor((rowsShare * this.memoryBytes) / bytesPerRow));
    const storedBytes = inFile.length / out;
    for (let first = 0; first < out; first += rows) {
      const count = Math.min(rows, out - first);
      const tensor = {
        ...inFile,
        ...{ shape: [count, inputs], length: count * storedBytes },
        offset: inFile.offset + first * storedBytes,
      };
      const matrix = await this.products.read({ kind: 'stored', tensor });
      const target = (await targets?.shifted(matrix, first)) ?? matrix;
      const bytes = await roundToBlocks(this.products, target, type, factor);
      await writeAll(this.file, range.file, bytes, range.offset + first * rowBytes(type, inputs));
    }
  }

  private async fit(
    statistics: InputStatistics | undefined,
    size: number,
  ): Promise<Pick<SharedFit, 'factor' | 'targets'>> {
    if (statistics === undefined) {
      // Experts that no token reached are rounded as if their inputs were independent.
      const gram = { size, numbers: new Float64Array(size * size) };
      return { factor: await factorHessian(this.products, gram, false), targets: undefined };
    }
    if (this.known?.statistics !== statistics) {
      this.known = undefined;
      const factor = await factorHessian(this.products, statistics.gram, false);
      const targets = await ShiftedTargets.fit(this.products, statistics);
      this.known = { statistics, factor, targets };
    }
    return this.known;
  }
}
