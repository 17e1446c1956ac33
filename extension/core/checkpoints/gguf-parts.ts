import { basename, dirname, join } from 'node:path';
import { UserError } from '../user-error';
import { readGgufHeader } from './gguf';
import type { GgufHeader } from './gguf';
import { listParts } from './gguf-part-names';
import { say } from '../message';

/**
 * The header of a model in one file, or in several with `path` as the first: its metadata, with the
 * tensors of all.
 * @throws UserError naming the part that is missing or belongs to another model.
 */
export async function readGgufModel(path: string): Promise<GgufHeader> {
  const first = await readGgufHeader(path);
  const count = first.metadata.get('split.count');
  if (typeof count !== 'number' || count < 2) {
    return first;
  }
  const names = listParts(basename(path));
  if (names?.length !== count) {
    throw new UserError(
      'gguf-part-misnamed',
      say`The file is one part of ${count}, but is not named as one.`,
      {
        file: path,
        field: 'split.count',
        remedy: say`Name the parts as llama.cpp does: NAME-00001-of-${String(count).padStart(5, '0')}.gguf.`,
      },
    );
  }
  const others: GgufHeader[] = [];
  for (const name of names.slice(1)) {
    const part = await readGgufHeader(join(dirname(path), name));
    if (part.metadata.get('split.count') !== count) {
      throw new UserError('gguf-part-foreign', say`The file is not part of this model.`, {
        file: join(dirname(path), name),
        field: 'split.count',
        remedy: say`Download all parts of one model into one folder.`,
      });
    }
    others.push(part);
  }
  const all = [first, ...others];
  const tensors = all.flatMap((part) => part.tensors);
  const expected = first.metadata.get('split.tensors.count');
  if (typeof expected === 'number' && expected !== tensors.length) {
    throw new UserError(
      'gguf-part-incomplete',
      say`The parts have ${tensors.length} tensors, not ${expected}.`,
      {
        file: path,
        field: 'split.tensors.count',
        remedy: say`Download all parts of one model into one folder.`,
      },
    );
  }
  return { ...first, tensors, files: all.map(({ file }) => file) };
}
