import { basename, dirname, join } from 'node:path';
import { UserError } from '../user-error';
import { readGgufHeader } from './gguf';
import type { GgufHeader } from './gguf';
import { say } from '../message';

const partName = /-(\d{5})-of-(\d{5})\.gguf$/i;

/** Names of all parts of a split model, if the name is one part, such as `NAME-00001-of-00003.gguf`. */
export function listParts(name: string): readonly string[] | undefined {
  const [ending = '', , last = ''] = partName.exec(name) ?? [];
  const count = Number(last);
  return count < 1
    ? undefined
    : Array.from(
        { length: count },
        (_, i) =>
          `${name.slice(0, -ending.length)}-${String(i + 1).padStart(5, '0')}-of-${last}.gguf`,
      );
}

/** The name of a model in one file, without the number of its part. */
export const withoutPart = (name: string): string => name.replace(partName, '.gguf');

/** Suffix of file names: types and mixes of llama.cpp and of other programs. */
const typeName = /[-._](?:I?Q\d\w*|TQ\d\w*|B?F16|F32|MXFP4\w*)$/i;

/**
 * File name after a change of the type mix. The new mix replaces an old one in the name: `x-F16.gguf` with Q4_0 becomes
 * `x-Q4_0.gguf`.
 */
export function nameWithType(name: string, type: string | undefined): string {
  const stem = name.replace(/\.gguf$/i, '');
  return type === undefined ? `${stem}.gguf` : `${stem.replace(typeName, '')}-${type}.gguf`;
}

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
      say`The parts have ${tensors.length} tensors, expected ${expected}.`,
      {
        file: path,
        field: 'split.tensors.count',
        remedy: say`Download all parts of one model into one folder.`,
      },
    );
  }
  return { ...first, tensors, files: all.map(({ file }) => file) };
}
