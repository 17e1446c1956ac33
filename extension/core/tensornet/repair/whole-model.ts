import { rootMeanSquare } from '../../linear-algebra/small-matrix';
import { encodingParameters, encodingSizes } from '../../models/encodings/encoding-facts';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { routerLayers } from '../../models/layered-model';
import { floatsIn } from '../../runtime/tensors';
import { adapterProduct } from '../../training/adapters';
import type { AdaptableMatrix } from '../../training/adapters';
import type { TrainableModel } from '../../training/trainable-model';
import {
  adaptableMatrices,
  adaptedTransformer,
  sublayerOutputs,
  trainableTransformer,
} from '../../training/trainable-transformer';
import { smallestScale } from './trained-forms';
import { differentiable, trainedTensors } from './trainable-encoding';
import type { NumbersByName } from './trainable-encoding';
import { idsIn } from '../../models/model-input';
import { streamWidth } from '../../models/model-emitter';
import type { RepairSetup } from './walk';

/** Rank of adapters. */
const adapterRank = 16;

/** Number of trained parameters: those of adapters, and of directly trained encodings. */
function trainedNumbers(student: LayeredModel, forms: ReadonlyMap<string, MatrixEncoding>): number {
  const isRouter = routerMatcher(student);
  return [...forms]
    .map(([id, form]) => {
      const { out, in: width } = encodingSizes(form);
      return form.kind === 'dense' && !isRouter(id)
        ? adapterRank * (out + width)
        : encodingParameters(form);
    })
    .reduce((sum, count) => sum + count, 0);
}

/** Routers are trained directly: they are small. */
function routerMatcher(student: LayeredModel): (id: string) => boolean {
  const ids = new Set(routerLayers(student).map(({ id }) => id));
  return (id) => ids.has(id);
}

/** Whole model to train: dense matrices by adapters if possible, everything else directly. */
export interface WholeModel {
  readonly model: TrainableModel;
  /** Names of the residual stream after each sublayer. */
  readonly streams: readonly string[];
  /** Scale of the trained parameters; learning rates are relative to it. */
  readonly unit: number;
  /** True if only routers are trained. */
  readonly onlyRouters: boolean;
  /** Converts values of the model's parameters to values of the encodings' tensors. */
  readonly merged: (numbers: ReadonlyMap<string, Float32Array>) => NumbersByName;
}

/** @throws UserError if the model is a graph, or its weights are quantized */
export async function wholeModel(
  student: LayeredModel,
  forms: ReadonlyMap<string, MatrixEncoding>,
  seed: number,
): Promise<WholeModel> {
  const changed = new Map([...forms].map(([id, form]) => [id, differentiable(form)] as const));
  const emitted = student.withMatrices(changed);
  const simple = adaptableMatrices(emitted);
  const [adapted, own] = [new Set<string>(), new Set<string>()];
  const isRouter = routerMatcher(student);
  for (const [id, form] of forms) {
    for (const { name } of trainedTensors(form)) {
      (form.kind === 'dense' && simple.has(name) && !isRouter(id) ? adapted : own).add(name);
    }
  }
  const weights = trainableTransformer(emitted, adapted);
  const unit = own.size === 0 ? 1 : await smallestScale(trainableTransformer(emitted, own));
  const byName = new Map(weights.parameters.map((weight) => [weight.name, weight]));
  /** Reads one weight at a time: all of them in float32 may not fit into memory. */
  const readNumbers = async (name: string): Promise<Float32Array | undefined> => {
    const weight = byName.get(name);
    const numbers = weight === undefined ? undefined : (await weights.read([weight]))[name];
    return numbers === undefined ? undefined : floatsIn(numbers);
  };
  const matrices: AdaptableMatrix[] = [];
  for (const { name, shape } of weights.parameters) {
    const [out, width] = shape;
    const numbers = await readNumbers(name);
    if (numbers !== undefined && out !== undefined && width !== undefined) {
      matrices.push({ name, out, in: width, rootMeanSquare: rootMeanSquare(numbers) });
    }
  }
  const model = adaptedTransformer(emitted, own, matrices, { rank: adapterRank, unit, seed });
  const adapters = new Map(model.adapters.map((adapter) => [adapter.weight, adapter]));
  const merged =
    (numbers: ReadonlyMap<string, Float32Array>): NumbersByName =>
    async (name) => {
      const adapter = adapters.get(name);
      const given = adapter === undefined ? undefined : await readNumbers(name);
      if (adapter === undefined || given === undefined) {
        return numbers.get(name);
      }
      const sum = adapterProduct(adapter, numbers);
      given.forEach((value, i) => {
        sum[i] = (sum[i] ?? 0) + value;
      });
      return sum;
    };
  const onlyRouters = [...forms.keys()].every(isRouter);
  return { model, streams: sublayerOutputs(emitted), unit, onlyRouters, merged };
}

/** Inputs that determine the memory needed for training. */
export interface TrainingSize extends Pick<
  RepairSetup,
  'student' | 'forms' | 'train' | 'settings'
> {
  /** Number of trained parameters; those of the encodings if absent. */
  readonly trained?: number;
  /** Largest number of segments; one per sublayer if absent. */
  readonly mostSegments?: number;
}

/** Split of a step that makes it fit into memory. */
export interface StepPlan {
  /** Number of equal microbatches, run one after another. */
  readonly pieces: number;
  /** Number of segments for gradient checkpointing; 0 if all activations are stored. */
  readonly segments: number;
}

/**
 * Float32 copies of all weights (two sessions, unpacked and packed), of trained parameters (gradients, optimizer state,
 * best values), of logits, and of the residual stream for the activations of a sublayer.
 */
const copies = { weights: 4, trained: 10, logits: 6, streams: 48 };
/** Copies of the residual stream per segment: its output and its gradient. */
const segmentStreams = 2;

/** Sequences per step, at most the number available. */
export const effectiveBatch = ({
  train,
  settings,
}: Pick<TrainingSize, 'train' | 'settings'>): number =>
  Math.min(settings.batch, Math.max(1, train.length));

/**
 * Fastest split of a step that fits into memory: prefers storing activations to recomputing, few segments, and few
 * microbatches. Undefined if none fits.
 */
export function stepPlan(size: TrainingSize, memoryBytes: number): StepPlan | undefined {
  const batch = effectiveBatch(size);
  const divisors = Array.from({ length: batch }, (_, i) => i + 1).filter((n) => batch % n === 0);
  return segmentCounts(size)
    .flatMap((segments) => divisors.map((pieces) => ({ pieces, segments })))
    .find((plan) => stepBytes(size, plan) <= memoryBytes);
}

/** Minimum memory for training, in bytes. */
export const leastBytes = (size: TrainingSize): number =>
  Math.min(
    ...segmentCounts(size).map((segments) =>
      stepBytes(size, { pieces: effectiveBatch(size), segments }),
    ),
  );

const segmentCounts = ({ student, mostSegments }: TrainingSize): number[] =>
  Array.from(
    { length: (mostSegments ?? student.summary.sublayers.length) + 1 },
    (_, segments) => segments,
  );

/** Index of the last sublayer of each segment; the last sublayer always ends one, so that logits are separate. */
export const segmentEnds = (sublayers: number, segments: number): readonly number[] =>
  Array.from({ length: segments }, (_, i) => Math.ceil(((i + 1) * sublayers) / segments) - 1);

/** Bytes needed by a step. */
export function stepBytes(size: TrainingSize, { pieces, segments }: StepPlan): number {
  const { student, forms, train } = size;
  const { parameters, bytes, sublayers, vocabularySize = 0 } = student.summary;
  const length = Math.max(0, ...train.map((input) => idsIn(input)?.length ?? 0));
  const tokens = (effectiveBatch(size) / pieces) * length;
  const width = student.emitter === undefined ? 0 : streamWidth(student.emitter);
  const logits = copies.logits * tokens * vocabularySize;
  const streams = copies.streams * tokens * width;
  const trained = copies.trained * (size.trained ?? trainedNumbers(student, forms));
  const numbers =
    segments === 0
      ? trained + copies.weights * parameters + logits + streams * sublayers.length
      : trained +
        segmentStreams * segments * tokens * width +
        // Weights that are widened to float32 at a time: at most the head.
        vocabularySize * width +
        Math.max(logits, streams * Math.ceil(sublayers.length / segments));
  // Memory-mapped weights need memory too; otherwise each step would wait for the disk.
  return numbers * Float32Array.BYTES_PER_ELEMENT + (segments === 0 ? 0 : bytes);
}
