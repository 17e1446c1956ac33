import type { OpenedModel } from '../models/opened-model';
import { tokenizerPlace } from '../models/tokenizer-place';
import { readTokenizerSettings } from './tokenizer-settings';

/** True if a model has a chat template, in its GGUF header or next to its tokenizer. */
export async function hasChatTemplate({
  headers,
  path,
}: Pick<OpenedModel, 'headers' | 'path'>): Promise<boolean> {
  if (headers.format === 'gguf') {
    return headers.header.metadata.has('tokenizer.chat_template');
  }
  return (await readTokenizerSettings(tokenizerPlace(path).folder)).chatTemplate !== undefined;
}
