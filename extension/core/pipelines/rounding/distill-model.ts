import type { WritableType } from '../../checkpoints/ggml-types';
import { readFloatRows } from '../../checkpoints/float-rows';
import { elementCount, floatDTypes, hasFloatRows, sliceRows } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { isBlockType } from '../../checkpoints/quantize/block-codecs';
import type { BlockType } from '../../checkpoints/quantize/block-codecs';
import { joinBlocks, splitBlocks } from '../../checkpoints/quantize/block-numbers';
import { quantizeRows, rowBytes } from '../../checkpoints/quantize/quantizers';
import { readBytes } from '../../checkpoints/read-tensor';
import { holdOutInputs } from '../../data/hold-out-inputs';
import { loadModelInputs } from '../../data/model-inputs';
import { writeAll } from '../../export/byte-copier';
import type { ByteRange } from '../../export/byte-copier';
import type { Importance } from '../../export/gguf/importance';
import { formatDistance } from '../../format';
import type { JobContext } from '../../jobs/job';
import { say } from '../../message';
import type { LayeredModel } from '../../models/layered-model';
import type { OpenedModel } from '../../models/opened-model';
import type { ExternalData } from '../../onnx/graph-builder';
import type { DeviceName } from '../../runtime/device';
import type { DistillSettings } from '../../tensornet/repair/repair-settings';
import { distillWhole, requireTrainsAsWhole } from '../../tensornet/repair/repair-end-to-end';
import { UserError } from '../../user-error';
import { isTrainedParameter } from '../../training/block-model';
import type { BlockMatrix } from '../../training/block-model';
import { distillation } from '../../training/losses';
import { stepGraph } from '../../training/train-graph';
import {
  blockTransformer,
  graphWeights,
  trainableTransformer,
} from '../../training/trainable-transformer';
import type { RoundingCalibration } from '../compression/start-calibration';
import type { RoundingStore } from './rounding-store';

interface DistillOptions {
  readonly calibration: RoundingCalibration;
  readonly importance: Importance | undefined;
  readonly settings: DistillSettings;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** A weight of the model's graph, and its place among the quantized tensors. */
interface PlacedMatrix {
  readonly matrix: BlockMatrix;
  readonly range: ByteRange;
}

/**
 * Trains the scales, offsets and codes of a rounded model's blocks, so that its logits come near to those of the model.
 * All tensors are trained together.
 * @param plain a GGUF file whose weights are floats
 * @param types by tensor; those that are not quantized stay
 * @param rounded bytes of tensors that were rounded before; others are rounded to nearest first
 * @returns bytes of all quantized matrices
 */
export async function distillModel(
  { model, headers }: OpenedModel,
  types: ReadonlyMap<string, WritableType>,
  rounded: ReadonlyMap<string, ByteRange>,
  store: RoundingStore,
  { calibration, importance, settings, device, memoryBytes }: DistillOptions,
  context: JobContext,
): Promise<ReadonlyMap<string, ByteRange>> {
  if (headers.format !== 'gguf') {
    throw new Error('only GGUF files are distilled');
  }
  const { inputs } = await loadModelInputs(
    calibration.request,
    model,
    calibration.bundledText,
    calibration.seed ?? 0,
  );
  const {
    train,
    heldOut: [heldOut = []],
  } = holdOutInputs(
    inputs,
    1,
    'sequences-too-few',
    say`Distillation needs at least two sequences: one is held out.`,
  );
  const file = await store.openTrained();
  try {
    const tensors = new Map<string, ByteRange>();
    const placed: PlacedMatrix[] = [];
    const weights = graphWeights(model);
    let end = 0;
    for (const tensor of headers.header.tensors) {
      const type = types.get(tensor.name);
      if (!isBlockType(type) || !hasFloatRows(tensor)) {
        continue;
      }
      if (!floatDTypes.includes(tensor.dtype)) {
        throw new UserError('weights-quantized', say`Quantized weights cannot be trained.`, {
          file: tensor.file,
          field: tensor.name,
          remedy: say`Use the original weights in float32, float16 or bfloat16.`,
        });
      }
      const bytes = await roundedBytes(tensor, type, rounded.get(tensor.name), importance);
      const range = { file: store.trainedPath, offset: end, length: bytes.length };
      await writeAll(file, range.file, bytes, range.offset);
      tensors.set(tensor.name, range);
      end += bytes.length;
      placed.push(...(await placeMatrices(tensor, type, bytes, range, weights)));
    }
    if (placed.length === 0) {
      throw new UserError(
        'flag-without-effect',
        say`Distillation has no effect unless a tensor is quantized.`,
        { field: 'rounding', remedy: say`Choose a type such as Q2_K (--type).` },
      );
    }
    const student = blockTransformer(
      model,
      placed.map(({ matrix }) => matrix),
    );
    const trains = isTrainedParameter(student);
    const trained = student.parameters
      .filter(({ name }) => trains(name))
      .reduce((sum, { shape }) => sum + elementCount(shape), 0);
    const allSettings = { ...settings, seed: calibration.seed ?? 0 };
    const plan = requireTrainsAsWhole(
      { student: model, forms: new Map(), train, settings: allSettings, trained, mostSegments: 0 },
      memoryBytes,
      instead,
    );
    const { numbers, loss } = await distillWhole(
      {
        ...{ model: student, teacher: model, train, heldOut, device, memoryBytes },
        settings: allSettings,
        rate: settings.rate,
        plan,
        saved: store.training,
        trains,
        stage: say`Training the quantized model`,
      },
      context,
    );
    const before = formatDistance(loss.before);
    context.inform(
      numbers === undefined
        ? say`Training didn't reduce the KL from the original on held-out calibration text (${before}): the rounded weights stay.`
        : say`Training reduced the KL from the original on held-out calibration text from ${before} to ${formatDistance(loss.after)}.`,
    );
    if (numbers === undefined) {
      return tensors;
    }
    for (const { matrix, range } of placed) {
      const blocks = student.trainedNumbers(matrix, (name) => numbers.get(name));
      await writeAll(file, range.file, joinBlocks(blocks), range.offset);
    }
    await file.datasync();
    return tensors;
  } finally {
    await file.close();
  }
}

/**
 * Checks that a model can be trained before it is rounded, which takes long.
 * @param length of the calibration sequences
 * @throws UserError if it doesn't continue texts, its weights are quantized, an operator has no gradient, or a step of
 * training doesn't fit into memory
 */
export function requireDistillable(
  model: LayeredModel,
  length: number,
  settings: DistillSettings,
  memoryBytes: number,
): void {
  const text = new Int32Array(length);
  const train = Array.from({ length: settings.batch }, () => text);
  const { path: file, parameters: trained } = model.summary;
  const size = { student: model, forms: new Map(), train, trained, mostSegments: 0 };
  requireTrainsAsWhole({ ...size, settings: { ...settings, seed: 0 } }, memoryBytes, instead);
  const matrices = graphWeights(model).filter(({ shape }) => shape.length > 1);
  const student = trainableTransformer(model, new Set(matrices.map(({ name }) => name)));
  try {
    stepGraph(student, { loss: distillation, optimizer: { kind: 'sgd' } });
  } catch (error) {
    if (error instanceof UserError && error.code === 'gradient-unsupported') {
      throw new UserError('distillation-unsupported', say`Training failed: ${error.problem}`, {
        ...{ file, field: error.subject.field ?? 'rounding' },
        remedy: say`Choose ${instead}.`,
      });
    }
    throw error;
  }
}

/** Rounding of models that can't be trained. */
const instead = '--rounding feedback';

async function roundedBytes(
  tensor: LazyTensor,
  type: BlockType,
  range: ByteRange | undefined,
  importance: Importance | undefined,
): Promise<Uint8Array> {
  return range === undefined
    ? quantizeRows(
        type,
        await readStored(tensor),
        tensor.shape.at(-1) ?? 1,
        importance?.get(tensor.name),
      )
    : readBytes({ ...range, name: tensor.name }, range.length);
}

/** The matrices of a model's graph that are stored in a tensor: itself, or slices of its rows. */
async function placeMatrices(
  tensor: LazyTensor,
  type: BlockType,
  bytes: Uint8Array,
  range: ByteRange,
  weights: readonly ExternalData[],
): Promise<PlacedMatrix[]> {
  const columns = tensor.shape.at(-1) ?? 1;
  const rows = elementCount(tensor.shape) / columns;
  const storedBytes = tensor.length / rows;
  const own = weights.filter(
    ({ file, offset, shape }) =>
      file === tensor.file &&
      offset >= tensor.offset &&
      offset < tensor.offset + tensor.length &&
      shape.at(-1) === columns,
  );
  return Promise.all(
    own.map(async ({ name, shape, offset, length }) => {
      const first = (offset - tensor.offset) / storedBytes;
      const last = first + length / storedBytes;
      const [from, to] = [first, last].map((row) => row * rowBytes(type, columns));
      const original = await readStored(
        sliceRows({ ...tensor, shape: [rows, columns] }, first, last),
      );
      const numbers = splitBlocks(type, bytes.subarray(from, to));
      return {
        matrix: { name, shape, numbers, original },
        range: { ...range, offset: range.offset + (from ?? 0), length: (to ?? 0) - (from ?? 0) },
      };
    }),
  );
}

/** Rows of a tensor in the order of its file. */
async function readStored(tensor: LazyTensor): Promise<Float32Array> {
  const { interleavedHeads: _, ...inFile } = tensor;
  const columns = tensor.shape.at(-1) ?? 1;
  const numbers = new Float32Array(elementCount(tensor.shape));
  await readFloatRows(inFile, (row, values) => {
    numbers.set(values, row * columns);
  });
  return numbers;
}
