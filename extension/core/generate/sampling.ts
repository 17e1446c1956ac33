import type { Random } from '../data/random';
import { UserError } from '../user-error';
import { say } from '../message';

/** How the next token is chosen. */
export interface Sampling {
  /** Divides the logits; 0 takes the likeliest token (greedy). */
  readonly temperature: number;
  /** Only the k likeliest tokens are drawn from; all when absent. */
  readonly topK?: number;
  /** Only the fewest tokens whose probabilities reach this sum are drawn from; all when absent. */
  readonly topP?: number;
  readonly seed: number;
}

export const greedy: Sampling = { temperature: 0, seed: 0 };

/** @throws UserError naming the field that is out of range. */
export function checkSampling({ temperature, topK, topP }: Sampling): void {
  const fault = (field: string, value: number, range: string): UserError =>
    new UserError(say`${value} is not ${range}.`, { field, remedy: undefined });
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

/** Chooses a token by its logits; of equal ones the first. */
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
  let kept = 0;
  let mass = 0;
  while (kept < weights.length && mass < topP * total) {
    mass += weights[kept] ?? 0;
    kept++;
  }
  let left = random() * mass;
  for (let i = 0; i < kept; i++) {
    left -= weights[i] ?? 0;
    if (left < 0) {
      return order[i] ?? 0;
    }
  }
  return order[kept - 1] ?? 0;
}
