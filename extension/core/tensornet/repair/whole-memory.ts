import { idsIn } from '../../models/model-input';
import { streamWidth } from '../../models/model-emitter';
import type { RepairSetup } from './walk';
import { trainedNumbers } from './whole-model';

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
