import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seq2seqFixture } from '../encoder-fixtures';

/** A tokenizer of letters and spaces. */
const letters = {
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  },
  post_processor: null,
  decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  model: {
    type: 'BPE',
    vocab: Object.fromEntries(
      Array.from('ĠĊabcdefghijklmnopqrstuvwxyz').map((letter, id) => [letter, id]),
    ),
    merges: [],
  },
};

/** A copy of an encoder–decoder model with that tokenizer. */
export function withLetters(name: string, folder: string): string {
  cpSync(seq2seqFixture(name), folder, { recursive: true });
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(letters));
  return folder;
}
