import { join } from 'node:path';
import { openModel } from '../../extension/core/models/open-model';
import { prune } from './export/pruning';
import { fixture } from './fixtures';

/**
 * Writes the first two blocks of `llama-gqa-untied`, with its tokenizer, into a folder. Jobs that try every sublayer or
 * linear layer take a quarter of the time.
 * @returns the path of the model, whose name is that of the fixture
 */
export async function writeTwoBlocks(folder: string): Promise<string> {
  const name = 'llama-gqa-untied';
  const { sublayers } = (await openModel(fixture(name))).summary;
  const removed = sublayers.flatMap(({ id, block }) => (block < 2 ? [] : [id]));
  const { path } = await prune(fixture(name), removed, join(folder, name));
  return path;
}
