import { basename, join } from 'node:path';
import { openModel } from '../../extension/core/models/open-model';
import { prune } from './export/pruning';

/**
 * Writes the first blocks of a Hugging Face model, with its tokenizer, into a folder. Work on every sublayer takes time
 * that is quadratic in the number of blocks.
 * @returns the path of the smaller model, which has the name of the source
 */
export async function writeFirstBlocks(
  source: string,
  blocks: number,
  folder: string,
): Promise<string> {
  const { sublayers } = (await openModel(source)).summary;
  const removed = sublayers.flatMap(({ id, block }) => (block < blocks ? [] : [id]));
  const { path } = await prune(source, removed, join(folder, basename(source)));
  return path;
}
