import { clampedGate, innerMlpNorm, scaledGate } from '../parts/mlp-part';
import type { FindMlpPart, MlpPart, MlpSource } from '../parts/mlp-part';
import { sparseGates } from '../parts/sparsity';
import { xielu } from '../parts/xielu';
import { findParts } from '../parts/find-parts';
import type { PartNames } from '../parts/find-parts';

const finders = {
  clamp: clampedGate,
  gateScale: scaledGate,
  innerNorm: innerMlpNorm,
  sparsity: sparseGates,
  xielu,
} satisfies Record<string, FindMlpPart<never>>;

/** Parts of an MLP or of experts in the table of an architecture, in order. */
export type MlpPartNames = PartNames<typeof finders>;

export const findMlpParts = (names: MlpPartNames | undefined, source: MlpSource): MlpPart[] =>
  findParts<MlpPart, MlpSource, typeof finders>(finders, names, source);
