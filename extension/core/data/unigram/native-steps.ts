import {
  ByteLevelPreTokenizer,
  DigitsPreTokenizer,
  PrecompiledNormalizer,
  SequenceNormalizer,
  SequencePreTokenizer,
  SplitPreTokenizer,
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
 * Lets steps do what they do in the native package: the library's take NFKC for every charsmap, and for spaces
 * and digits what JavaScript calls so, and divide at a match on both sides. Where a folder lost its charsmap, as those of Marian models for transformers.js, NFKC stays.
 * @throws Error where a charsmap is damaged.
 */
export function useNativeSteps({ normalizer, pre_tokenizer: preTokenizer }: Tokenizer): void {
  followCharsmaps(normalizer);
  divideNatively(preTokenizer);
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

const gpt2Words =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

function divideNatively(preTokenizer: PreTokenizer | null): void {
  if (preTokenizer instanceof SequencePreTokenizer) {
    preTokenizer.tokenizers.forEach(divideNatively);
  } else if (preTokenizer instanceof WhitespaceSplitPreTokenizer) {
    preTokenizer.pre_tokenize_text = (text) => text.match(/\P{White_Space}+/gu) ?? [];
  } else if (preTokenizer instanceof ByteLevelPreTokenizer) {
    preTokenizer.pattern = gpt2Words;
  } else if (preTokenizer instanceof DigitsPreTokenizer) {
    const isSingle = preTokenizer.config.individual_digits;
    preTokenizer.pattern = isSingle ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu;
  } else if (preTokenizer instanceof SplitPreTokenizer) {
    const { pattern } = preTokenizer;
    const side = /^MergedWith(Next|Previous)$/.exec(preTokenizer.config.behavior)?.[1];
    if (pattern !== null && side !== undefined) {
      preTokenizer.pre_tokenize_text = (text) => {
        const ends = [...text.matchAll(pattern)].map(
          ({ index, 0: match }) => index + (side === 'Next' ? 0 : match.length),
        );
        return [0, ...ends]
          .map((start, i) => text.slice(start, ends[i]))
          .filter((piece) => piece !== '');
      };
    }
  }
}
