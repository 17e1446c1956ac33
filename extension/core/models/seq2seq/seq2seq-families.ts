import { prunedClassPrefix } from '../encoders/encoder-architecture';
import { knownArchitecture } from '../transformer/architectures';
import { baseModelType } from '../transformer/model-config';
import { bartLikes } from './bart-like';
import type { Seq2SeqFamily } from './seq2seq-family';
import { t5s } from './t5';

/** Every family of encoder–decoder models that a Hugging Face folder can be opened as. */
export const seq2seqFamilies: readonly Seq2SeqFamily[] = [...t5s, ...bartLikes];

/** Family of a config.json; undefined for a decoder or an encoder that was saved alone. */
export function knownSeq2Seq(config: {
  readonly model_type?: unknown;
  readonly is_encoder_decoder?: unknown;
  readonly architectures?: unknown;
}): Seq2SeqFamily | undefined {
  const modelType = baseModelType(String(config.model_type));
  const isDecoder =
    config.is_encoder_decoder === false && knownArchitecture(modelType) !== undefined;
  const found = seq2seqFamilies.find((known) => known.modelType === modelType);
  const { encoder = '' } = found?.classes ?? {};
  const isEncoder =
    Array.isArray(config.architectures) &&
    [encoder, `${prunedClassPrefix}${encoder}`].includes(String(config.architectures[0]));
  return isDecoder || isEncoder ? undefined : found;
}
