import type { Architecture } from './architecture';
import { alibiFamilies } from '../families/alibi';
import { deepseekFamilies } from '../families/deepseek-like';
import { expertFamilies } from '../families/experts';
import { gemmaFamilies } from '../families/gemma';
import { gptjFamilies } from '../families/gptj-like';
import { learnedPositionFamilies } from '../families/learned-positions';
import { llamaLikeFamilies } from '../families/llama-like';
import { llamaRelatives } from '../families/llama-relatives';
import { nemotronNas } from '../families/nemotron-nas';
import { parallelFamilies } from '../families/parallel';
import { postNormFamilies } from '../families/post-norm';

/** Every family that a Hugging Face folder can be opened as. */
export const architectures: readonly Architecture[] = [
  ...llamaLikeFamilies,
  ...llamaRelatives,
  ...gemmaFamilies,
  ...learnedPositionFamilies,
  ...parallelFamilies,
  ...gptjFamilies,
  ...alibiFamilies,
  ...postNormFamilies,
  ...expertFamilies,
  ...deepseekFamilies,
  nemotronNas,
];

/** The family of a `model_type`. */
export function knownArchitecture(modelType: string): Architecture | undefined {
  return architectures.find((known) => known.modelType === modelType);
}
