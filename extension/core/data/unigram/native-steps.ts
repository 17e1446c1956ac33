import {
  PrecompiledNormalizer,
  SequenceNormalizer,
  SequencePreTokenizer,
  WhitespaceSplitPreTokenizer,
} from '@huggingface/tokenizers';
import type { Normalizer, PreTokenizer, Tokenizer } from '@huggingface/tokenizers';
import { Charsmap, normalizeByClusters, normalizeByLongest } from './charsmap';

/** A step of a normalizer that follows a charsmap. */
export interface CharsmapStep {
  readonly type: 'Precompiled';
  /** In base 64. */
  readonly precompiled_charsmap: unknown;
  /** By the longest rule, as in GGUF files; tokenizer.json has no such field. */
  readonly longest?: true;
}

/**
 * Lets steps do what they do in the native package: the library's take NFKC for every charsmap, and what JavaScript
 * calls a space. Where a folder lost its charsmap, as those of Marian models for transformers.js, NFKC stays.
 * @throws Error where a charsmap is damaged.
 */
export function useNativeSteps({ normalizer, pre_tokenizer: preTokenizer }: Tokenizer): void {
  followCharsmaps(normalizer);
  splitAtSpaces(preTokenizer);
}

function followCharsmaps(normalizer: Normalizer | null): void {
  if (normalizer instanceof SequenceNormalizer) {
    normalizer.normalizers.forEach(followCharsmaps);
  } else if (normalizer instanceof PrecompiledNormalizer) {
    const { precompiled_charsmap: encoded, longest } = normalizer.config as unknown as CharsmapStep;
    if (encoded === null || encoded === '') {
      return;
    }
    const charsmap = new Charsmap(
      Buffer.from(typeof encoded === 'string' ? encoded : '', 'base64'),
    );
    const normalize = longest === true ? normalizeByLongest : normalizeByClusters;
    normalizer.normalize = (text) => normalize(charsmap, text);
  }
}

function splitAtSpaces(preTokenizer: PreTokenizer | null): void {
  if (preTokenizer instanceof SequencePreTokenizer) {
    preTokenizer.tokenizers.forEach(splitAtSpaces);
  } else if (preTokenizer instanceof WhitespaceSplitPreTokenizer) {
    preTokenizer.pre_tokenize_text = (text) => text.match(/\P{White_Space}+/gu) ?? [];
  }
}
