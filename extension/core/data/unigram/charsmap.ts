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
