import {
  BertNormalizer,
  ByteLevelPreTokenizer,
  DigitsPreTokenizer,
  LowercaseNormalizer,
  PrecompiledNormalizer,
  SequenceNormalizer,
  SequencePreTokenizer,
  SplitPreTokenizer,
  WhitespaceSplitPreTokenizer,
} from '@huggingface/tokenizers';
import type { Normalizer, PreTokenizer, Tokenizer } from '@huggingface/tokenizers';
import { Charsmap, normalizeByClusters, normalizeByLongest } from './charsmap';

/** Normalizer step that applies a charsmap. */
export interface CharsmapStep {
  readonly type: 'Precompiled';
  /** Base64. */
  readonly precompiled_charsmap: unknown;
  /** True if the longest rule applies, as in GGUF files. Not a field of tokenizer.json. */
  readonly longest?: true;
}

/**
 * Replaces steps of the JavaScript library that differ from the native tokenizers package. The library uses NFKC for
 * every charsmap and JavaScript's definitions of spaces, digits and lowercase letters, knows only 16-bit ideographs,
 * and splits on both sides of a match. NFKC is kept if a folder has no charsmap, such as Marian models for
 * transformers.js.
 * @throws Error if a charsmap is damaged.
 */
export function useNativeSteps({ normalizer, pre_tokenizer: preTokenizer }: Tokenizer): void {
  normalizeNatively(normalizer);
  divideNatively(preTokenizer);
}

/** Ideographs beyond 16 bits that the native package splits off. */
const ideographs =
  /[\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

/** Lowercases each character separately, so that a final Σ becomes σ, not ς. */
const lowercased = (text: string): string =>
  text.replaceAll(/\p{Changes_When_Lowercased}/gu, (letter) => letter.toLowerCase());

function normalizeNatively(normalizer: Normalizer | null): void {
  if (normalizer instanceof SequenceNormalizer) {
    normalizer.normalizers.forEach(normalizeNatively);
  } else if (normalizer instanceof LowercaseNormalizer) {
    normalizer.normalize = lowercased;
  } else if (normalizer instanceof BertNormalizer) {
    const { lowercase, handle_chinese_chars: setsApart } = normalizer.config;
    const normalize = normalizer.normalize.bind(normalizer);
    normalizer.normalize = (text) => {
      const apart = setsApart ? text.replaceAll(ideographs, ' $& ') : text;
      return normalize(lowercase ? lowercased(apart) : apart);
    };
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
