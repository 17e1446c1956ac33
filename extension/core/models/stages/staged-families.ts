import { convNexts } from './families/convnext';
import { mixers } from './families/mixers';
import { mobileNets } from './families/mobile-nets';
import { pyramids } from './families/pyramids';
import { resNets } from './families/resnets';
import { swins } from './families/swin';
import type { StagedFamily } from './staged-family';

/** Every family of image models in stages that a Hugging Face folder can be opened as. */
export const stagedFamilies: readonly StagedFamily[] = [
  ...convNexts,
  ...resNets,
  ...swins,
  ...pyramids,
  ...mixers,
  ...mobileNets,
];

/** The family of a `model_type`. */
export function knownStaged(modelType: string): StagedFamily | undefined {
  return stagedFamilies.find((known) => known.modelType === modelType);
}
