import type { Random } from '../data/random';
import { UserError } from '../user-error';
import { say } from '../message';

/** Sampling parameters. */
export interface Sampling {
  /** Divides the logits. 0 selects the most likely token (greedy). */
  readonly temperature: number;
  /** Samples from the k most likely tokens; all by default. */
  readonly topK?: number;
  /** Samples from the smallest set of most likely tokens whose total probability reaches this value; all by default. */
  readonly topP?: number;
  readonly seed: number;
}

export const greedy: Sampling = { temperature: 0, seed: 0 };

/** @throws UserError naming the field that is out of range. */
export function checkSampling({ temperature, topK, topP }: Sampling): void {
  const fault = (field: string, value: number, range: string): UserError =>
    new UserError('sampling-value-invalid', say`${value} is not ${range}.`, {
      field,
      remedy: undefined,
    });
  if (!(temperature >= 0)) {
    throw fault('temperature', temperature, 'a number from 0');
  }
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw fault('topK', topK, 'an integer of at least 1');
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1)) {
    throw fault('topP', topP, 'above 0 and at most 1');
  }
}

/** Samples a token from its logits. Ties select the first token. */
export function sampleToken(
  logits: Float32Array,
  { temperature, topK = logits.length, topP = 1 }: Sampling,
  random: Random,
): number {
  if (temperature === 0) {
    return logits.reduce((best, logit, id) => (logit > (logits[best] ?? 0) ? id : best), 0);
  }
  const order = Array.from(logits.keys())
    .sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b)
    .slice(0, topK);
  const highest = logits[order[0] ?? 0] ?? 0;
  const weights = order.map((id) => Math.exp(((logits[id] ?? 0) - highest) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let count = 0;
  let mass = 0;
  while (count < weights.length && mass < topP * total) {
    mass += weights[count] ?? 0;
    count++;
  }
  let left = random() * mass;
  for (let i = 0; i < count; i++) {
    left -= weights[i] ?? 0;
    if (left < 0) {
      return order[i] ?? 0;
    }
  }
  return order[count - 1] ?? 0;
}
