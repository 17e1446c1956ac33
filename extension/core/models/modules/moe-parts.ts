import {
  averagedShared,
  expertTable,
  ownNorms,
  scaledInput,
  shareFactors,
  sparseMixer,
  sumBias,
} from '../parts/moe-part';
import type { FindMoePart, MoePart, MoeSource } from '../parts/moe-part';

const finders = {
  averagedShared,
  ownNorms,
  scaledInput,
  shareFactors,
  sparseMixer,
  sumBias,
  table: expertTable,
} satisfies Record<string, FindMoePart<never>>;

/** Parts of MoE layers in the table of an architecture, in order. */
export type MoePartNames = {
  readonly [Kind in keyof typeof finders]?: Parameters<(typeof finders)[Kind]>[0];
};

/** Finds the parts that an architecture names; those that the model or the block lacks are left out. */
export const findMoeParts = (names: MoePartNames = {}, source: MoeSource): MoePart[] =>
  Object.entries(names).flatMap(([kind, own]) => {
    const find = finders[kind as keyof typeof finders] as FindMoePart<typeof own>;
    return find(own, source) ?? [];
  });
