import { clampedGate, innerMlpNorm, scaledGate } from '../parts/mlp-part';
import type { FindMlpPart, MlpPart, MlpSource } from '../parts/mlp-part';
import { sparseGates } from '../parts/sparsity';
import { xielu } from '../parts/xielu';

const finders = {
  clamp: clampedGate,
  gateScale: scaledGate,
  innerNorm: innerMlpNorm,
  sparsity: sparseGates,
  xielu,
} satisfies Record<string, FindMlpPart<never>>;

/** Parts of an MLP or of experts in the table of an architecture, in order. */
export type MlpPartNames = {
  readonly [Kind in keyof typeof finders]?: Parameters<(typeof finders)[Kind]>[0];
};

/** Finds the parts that an architecture names; those that the model or the block lacks are left out. */
export const findMlpParts = (names: MlpPartNames = {}, source: MlpSource): MlpPart[] =>
  Object.entries(names).flatMap(([kind, own]) => {
    const find = finders[kind as keyof typeof finders] as FindMlpPart<typeof own>;
    return find(own, source) ?? [];
  });
