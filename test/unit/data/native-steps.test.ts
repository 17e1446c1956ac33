import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { useNativeSteps } from '../../../extension/core/data/unigram/native-steps';

/** Output of a normalizer. */
function normalized(normalizer: object, text: string): string | undefined {
  const model = { type: 'WordPiece', vocab: { '[UNK]': 0 }, unk_token: '[UNK]' };
  const none = { pre_tokenizer: null, post_processor: null, decoder: null };
  const definition = { normalizer, model, added_tokens: [], ...none };
  const tokenizer = new Tokenizer(definition, {});
  useNativeSteps(tokenizer);
  return tokenizer.normalizer?.normalize(text);
}

const bert = { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true };

describe('steps as in the native package', () => {
  it('BERT lowercases letter by letter', () => {
    expect(normalized({ ...bert, lowercase: true }, 'ΑΣΣ ÄÖÜ')).toBe('ασσ aou');
  });

  it('BERT sets ideographs apart, also those beyond 16 bits', () => {
    expect(normalized({ ...bert, lowercase: false }, 'a我𠜎b')).toBe('a 我  𠜎 b');
  });

  it('Lowercase does so in sequences too', () => {
    expect(normalized({ type: 'Lowercase' }, 'ΟΔΟΣ')).toBe('οδοσ');
    const sequence = { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Lowercase' }] };
    expect(normalized(sequence, 'ΟΔΟΣ')).toBe('οδοσ');
  });
});
