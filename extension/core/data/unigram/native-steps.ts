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

/**
 * SentencePiece character rules (`precompiled_charsmap`): a trie over UTF-8 bytes as a double array of 32-bit units
 * (Darts-clone), followed by the zero-terminated replacement texts it points to.
 */
export class Charsmap {
  private readonly units: Uint32Array;
  private readonly texts: Buffer;

  /** @throws Error if the sizes are inconsistent. */
  public constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = view.byteLength < 4 ? 0 : view.getUint32(0, true);
    if (size < 4 || size % 4 !== 0 || size + 4 >= view.byteLength) {
      throw new Error('precompiled_charsmap has sizes that do not fit');
    }
    this.units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.texts = Buffer.from(bytes.subarray(4 + size));
  }

  /**
   * Replacement for the bytes from `start` by the longest or shortest matching rule, and the number of bytes it
   * replaces; undefined if no rule matches.
   */
  public match(
    bytes: Uint8Array,
    start: number,
    prefers: 'longest' | 'shortest',
  ): { readonly text: string; readonly length: number } | undefined {
    let found: { readonly at: number; readonly length: number } | undefined;
    let node = unitOffset(this.unit(0));
    for (
      let at = start;
      at < bytes.length && (found === undefined || prefers === 'longest');
      at++
    ) {
      const byte = bytes[at] ?? 0;
      node ^= byte;
      const unit = this.units[node];
      if (byte === 0 || unit === undefined || unitLabel(unit) !== byte) {
        break;
      }
      node ^= unitOffset(unit);
      if (isEnd(unit)) {
        found = { at: unitValue(this.unit(node)), length: at + 1 - start };
      }
    }
    return found && { text: this.textAt(found.at), length: found.length };
  }

  private unit(index: number): number {
    const unit = this.units[index];
    if (unit === undefined) {
      throw new Error('precompiled_charsmap points outside of its trie');
    }
    return unit;
  }

  private textAt(start: number): string {
    const end = this.texts.indexOf(0, start);
    if (end < 0) {
      throw new Error('precompiled_charsmap points outside of its texts');
    }
    return this.texts.toString('utf8', start, end);
  }
}

// Bit layout from Darts-clone, include/darts.h, DoubleArrayUnit.
const unitLabel = (unit: number): number => unit & 0x80_00_00_ff;
const isEnd = (unit: number): boolean => ((unit >>> 8) & 1) === 1;
const unitValue = (unit: number): number => unit & 0x7f_ff_ff_ff;
const unitOffset = (unit: number): number => (unit >>> 10) << ((unit & 0x2_00) >>> 6);

/** Normalizes with the longest matching rule at each position, as SentencePiece and llama.cpp do. */
export function normalizeByLongest(charsmap: Charsmap, text: string): string {
  const bytes = Buffer.from(text);
  let normalized = '';
  let copiedTo = 0;
  for (let at = 0; at < bytes.length;) {
    const match = charsmap.match(bytes, at, 'longest');
    if (match === undefined) {
      at += characterBytes(bytes[at] ?? 0);
    } else {
      normalized += bytes.toString('utf8', copiedTo, at) + match.text;
      at += match.length;
      copiedTo = at;
    }
  }
  return normalized + bytes.toString('utf8', copiedTo);
}

/** Length of a UTF-8 character in bytes from its first byte. */
const characterBytes = (byte: number): number =>
  byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;

/** Maximum size of a grapheme cluster that is looked up as a whole, in bytes. */
const maxClusterBytes = 5;
const clusters = new Intl.Segmenter('und', { granularity: 'grapheme' });

/**
 * Normalizes like the package tokenizers (tokenizers/src/normalizers/precompiled.rs): the shortest rule at the start of
 * a short grapheme cluster replaces all of it; longer clusters are replaced character by character.
 */
export function normalizeByClusters(charsmap: Charsmap, text: string): string {
  const known = new Map<string, string>();
  const shortest = (part: string): string | undefined =>
    charsmap.match(Buffer.from(part), 0, 'shortest')?.text;
  const normalized = (cluster: string): string =>
    (Buffer.byteLength(cluster) > maxClusterBytes ? undefined : shortest(cluster)) ??
    Array.from(cluster, (character) => shortest(character) ?? character).join('');
  let result = '';
  for (const { segment } of clusters.segment(text)) {
    const replaced = known.get(segment) ?? normalized(segment);
    known.set(segment, replaced);
    result += replaced;
  }
  return result;
}

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
