import type { Architecture } from './architecture';
import { expertFamilies } from '../families/experts';
import { gemmaFamilies } from '../families/gemma';
import { learnedPositionFamilies } from '../families/learned-positions';
import { llamaLikeFamilies } from '../families/llama-like';
import { nemotronNas } from '../families/nemotron-nas';
import { parallelFamilies } from '../families/parallel';

/** Every family that a Hugging Face folder can be opened as. */
export const architectures: readonly Architecture[] = [
  ...llamaLikeFamilies,
  ...gemmaFamilies,
  ...learnedPositionFamilies,
  ...parallelFamilies,
  ...expertFamilies,
  nemotronNas,
];

/** The family of a `model_type`. */
export function knownArchitecture(modelType: string): Architecture | undefined {
  return architectures.find((known) => known.modelType === modelType);
}
