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
import { findParts } from '../parts/find-parts';
import type { PartNames } from '../parts/find-parts';

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
export type MoePartNames = PartNames<typeof finders>;

export const findMoeParts = (names: MoePartNames | undefined, source: MoeSource): MoePart[] =>
  findParts<MoePart, MoeSource, typeof finders>(finders, names, source);
