import { say } from '../../message';
import type { Message } from '../../message';

/** Why models of a type can't be computed, nor tried as a known family, as sentences. */
const unknownShapes: Readonly<Record<string, Message>> = {
  longcat_flash: say`Its blocks have two attentions and two feed-forwards each, and a mixture of experts beside them.`,
  jetmoe: say`The queries of its attention come from experts.`,
};

/** Why a type is not supported, where that is known. */
export const whyUnknownShape = (modelType: string): Message | undefined =>
  Object.hasOwn(unknownShapes, modelType) ? unknownShapes[modelType] : undefined;
