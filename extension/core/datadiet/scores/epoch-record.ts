import { existsSync } from 'node:fs';
import * as v from 'valibot';
import type { Dataset } from '../../data/datasets/dataset';
import { readNpz } from '../../data/npz';
import { writeNpz } from '../../data/write-npy';
import type { Cancellation } from '../../jobs/job';
import { int64Tensor } from '../../runtime/tensors';
import { lossInputs } from '../../training/losses';
import type { Trainer } from '../../training/trainer';
import type { GradientNormScorer } from './gradient-norm-scorer';
import { allExamples, selectLabels, evaluateLogits } from './predictions';
import type { ProxyModel } from '../training/proxy-model';
import { eachRow, el2n, isCorrect, marginError } from './scores';

/** Predictions of a model for every example after an epoch, in dataset order. */
export interface EpochRecord {
  readonly el2n: Float32Array;
  readonly margin: Float32Array;
  /** Gradient norm of each example; empty if not requested. */
  readonly grand: Float32Array;
  /** Probability of the given label. */
  readonly given: Float32Array;
  /** Class with the largest logit. */
  readonly predicted: Int32Array;
  /** Probability of the predicted class. */
  readonly largest: Float32Array;
  /** 1 if the predicted class is the given one. */
  readonly correct: Uint8Array;
  /** Seconds for training and evaluating the epoch. */
  readonly seconds: number;
}

const floats = v.instance(Float32Array);

/** Schema of records from another process. */
export const recordsSchema = v.array(
  v.object({
    ...{ el2n: floats, margin: floats, grand: floats, given: floats, largest: floats },
    predicted: v.instance(Int32Array),
    correct: v.instance(Uint8Array),
    seconds: v.number(),
  }),
);

export interface RecordRequest {
  readonly proxy: ProxyModel;
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  /** Scorer for gradient norms, if requested. */
  readonly gradients?: GradientNormScorer;
  /** Called with the logits [batch, classes] of the examples from `start`. */
  readonly onLogits?: (logits: Float32Array, start: number) => Promise<void>;
}

/** Evaluates a model on every example of a dataset. */
export async function recordEpoch(
  { proxy, dataset, labels, gradients, onLogits }: RecordRequest,
  trainer: Trainer,
  cancellation: Cancellation,
): Promise<Omit<EpochRecord, 'seconds'>> {
  const { size } = dataset;
  const record = {
    el2n: new Float32Array(size),
    margin: new Float32Array(size),
    grand: new Float32Array(gradients === undefined ? 0 : size),
    given: new Float32Array(size),
    predicted: new Int32Array(size),
    largest: new Float32Array(size),
    correct: new Uint8Array(size),
  };
  const all = allExamples(size);
  for await (const { logits, batch, start } of evaluateLogits(
    trainer,
    proxy,
    dataset,
    all,
    cancellation,
  )) {
    const given = selectLabels(labels, batch);
    record.el2n.set(el2n(logits, given), start);
    record.margin.set(marginError(logits, given), start);
    record.correct.set(isCorrect(logits, given), start);
    eachRow(logits, given, (probabilities, label, row) => {
      const predicted = probabilities.indexOf(Math.max(...probabilities));
      record.given[start + row] = probabilities[label] ?? 0;
      record.predicted[start + row] = predicted;
      record.largest[start + row] = probabilities[predicted] ?? 0;
    });
    await onLogits?.(logits, start);
  }
  if (gradients !== undefined) {
    await recordGradients(record.grand, { proxy, dataset, labels, gradients }, trainer);
  }
  return record;
}

/** Batch size for gradient norms. Smaller than for logits, since gradients per example need more memory. */
const gradientBatch = 64;

async function recordGradients(
  grand: Float32Array,
  request: Required<Omit<RecordRequest, 'onLogits'>>,
  trainer: Trainer,
): Promise<void> {
  const { proxy, dataset, labels, gradients } = request;
  for (let start = 0; start < dataset.size; start += gradientBatch) {
    const batch = allExamples(Math.min(gradientBatch, dataset.size - start)).map((i) => start + i);
    const inputs = proxy.inputs(dataset, batch);
    const given = int64Tensor(selectLabels(labels, batch), [batch.length]);
    const norms = await gradients.score({ ...inputs, [lossInputs.labels]: given }, (name) =>
      trainer.tensor(name),
    );
    grand.set(norms, start);
  }
}

/** Saves an epoch's record, so that a resumed job doesn't evaluate it again. */
export async function writeRecord(path: string, record: EpochRecord): Promise<void> {
  const floats = (data: Float32Array) => ({ dtype: 'F32' as const, dims: [data.length], data });
  const { el2n: norms, margin, grand, given, predicted, largest, correct, seconds } = record;
  await writeNpz(path, {
    el2n: floats(norms),
    margin: floats(margin),
    grand: floats(grand),
    given: floats(given),
    largest: floats(largest),
    predicted: { dtype: 'I32', dims: [predicted.length], data: predicted },
    correct: { dtype: 'U8', dims: [correct.length], data: correct },
    seconds: { dtype: 'F64', dims: [], data: Float64Array.of(seconds) },
  });
}

/** Reads a saved record; undefined if there is none. */
export async function readRecord(path: string): Promise<EpochRecord | undefined> {
  if (!existsSync(path)) {
    return undefined;
  }
  const arrays = await readNpz(path);
  const numbers = (name: string): number[] => {
    const array = arrays.get(name);
    return Array.from({ length: array?.data.length ?? 0 }, (_, i) => Number(array?.data[i]));
  };
  const floats = (name: string): Float32Array => Float32Array.from(numbers(name));
  return {
    el2n: floats('el2n'),
    margin: floats('margin'),
    grand: floats('grand'),
    given: floats('given'),
    predicted: Int32Array.from(numbers('predicted')),
    largest: floats('largest'),
    correct: Uint8Array.from(numbers('correct')),
    seconds: numbers('seconds')[0] ?? 0,
  };
}
