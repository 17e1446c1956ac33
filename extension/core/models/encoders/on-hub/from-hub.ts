import { noKnownClass } from '../../families/pieces';
import type { EncoderArchitecture } from '../encoder-architecture';

/** What families have in common whose code stands on the hub, not in transformers. */
export const fromHub = (
  name: string,
): Pick<EncoderArchitecture, 'isFromHub' | 'otherModules' | 'modules'> => ({
  isFromHub: true,
  otherModules: noKnownClass(name),
  modules: { layers: '', attention: {}, feedforward: {} },
});
