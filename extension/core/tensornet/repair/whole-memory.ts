import { idsIn } from '../../models/model-input';
import { streamWidth } from '../../models/model-emitter';
import type { RepairSetup } from './walk';
import { trainedNumbers } from './whole-model';

/** What the memory that training takes depends on. */
export type TrainingSize = Pick<RepairSetup, 'student' | 'forms' | 'train' | 'settings'>;

/** How a step is divided so that it fits into memory. */
export interface StepPlan {
  /** Equal pieces of its sequences, run one after the other. */
  readonly pieces: number;
  /** Segments that the sublayers are cut into; 0 where the graph is not cut, and all is kept for the way back. */
  readonly segments: number;
}

/**
 * Float32 copies: of all weights (two sessions, as they are and packed), of those that are trained (gradients, the
 * optimiser's state, what is best so far), of logits, and of the stream for what the way back needs of a sublayer.
 */
const copies = { weights: 4, trained: 10, logits: 6, streams: 48 };
/** The stream behind a segment, and its gradient. */
const keptStreams = 2;

/** Sequences of a step: no more than there are. */
export const batchOf = ({ train, settings }: TrainingSize): number =>
  Math.min(settings.batch, Math.max(1, train.length));

/**
 * The fastest way to divide a step so that memory suffices: all kept rather than computed again, few segments rather
 * than many, and few pieces rather than many. Undefined where none does.
 */
export function stepPlan(size: TrainingSize, memoryBytes: number): StepPlan | undefined {
  const batch = batchOf(size);
  const divisors = Array.from({ length: batch }, (_, i) => i + 1).filter((n) => batch % n === 0);
  const { length } = size.student.summary.sublayers;
  return Array.from({ length: length + 1 }, (_, segments) => segments)
    .flatMap((segments) => divisors.map((pieces) => ({ pieces, segments })))
    .find((plan) => stepBytes(size, plan) <= memoryBytes);
}

/** The least that training takes. */
export const leastBytes = (size: TrainingSize): number =>
  Math.min(
    ...Array.from({ length: size.student.summary.sublayers.length + 1 }, (_, segments) =>
      stepBytes(size, { pieces: batchOf(size), segments }),
    ),
  );

/** The sublayer behind which each segment ends: the last one is always a cut, so that logits are apart. */
export const segmentEnds = (sublayers: number, segments: number): readonly number[] =>
  Array.from({ length: segments }, (_, i) => Math.ceil(((i + 1) * sublayers) / segments) - 1);

/** Bytes that a step takes. */
export function stepBytes(size: TrainingSize, { pieces, segments }: StepPlan): number {
  const { student, forms, train } = size;
  const { parameters, bytes, sublayers, vocabularySize = 0 } = student.summary;
  const length = Math.max(0, ...train.map((input) => idsIn(input)?.length ?? 0));
  const tokens = (batchOf(size) / pieces) * length;
  const width = student.emitter === undefined ? 0 : streamWidth(student.emitter);
  const logits = copies.logits * tokens * vocabularySize;
  const streams = copies.streams * tokens * width;
  const trained = copies.trained * trainedNumbers(forms);
  const numbers =
    segments === 0
      ? trained + copies.weights * parameters + logits + streams * sublayers.length
      : trained +
        keptStreams * segments * tokens * width +
        // What is widened of the weights at a time: the head at most.
        vocabularySize * width +
        Math.max(logits, streams * Math.ceil(sublayers.length / segments));
  // Weights that stay in their files are read from memory too, or each step would wait for the disk.
  return numbers * Float32Array.BYTES_PER_ELEMENT + (segments === 0 ? 0 : bytes);
}
