import { knownArchitecture } from '../transformer/architectures';
import { baseModelType } from '../transformer/model-config';
import { bartLikes } from './bart-like';
import type { Seq2SeqFamily } from './seq2seq-family';
import { t5s } from './t5';
import { whisper } from './whisper';

/** Every family of encoder–decoder models that a Hugging Face folder can be opened as. */
export const seq2seqFamilies: readonly Seq2SeqFamily[] = [...t5s, ...bartLikes, whisper];

/** The family of a config.json, unless it is of a decoder saved alone. */
export function knownSeq2Seq(config: {
  readonly model_type?: unknown;
  readonly is_encoder_decoder?: unknown;
}): Seq2SeqFamily | undefined {
  const modelType = baseModelType(String(config.model_type));
  const isHalf = config.is_encoder_decoder === false && knownArchitecture(modelType) !== undefined;
  return isHalf ? undefined : seq2seqFamilies.find((known) => known.modelType === modelType);
}
