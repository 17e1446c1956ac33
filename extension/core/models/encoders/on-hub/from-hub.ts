import { noKnownClass } from '../../families/shared-parts';
import type { EncoderArchitecture } from '../encoder-architecture';

/** Properties of families whose code is on the Hugging Face Hub, not in transformers. */
export const fromHub = (
  name: string,
): Pick<EncoderArchitecture, 'isFromHub' | 'otherModules' | 'modules'> => ({
  isFromHub: true,
  otherModules: noKnownClass(name),
  modules: { layers: '', attention: {}, feedforward: {} },
});
