import { createHash } from 'node:crypto';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';

/** What the folders of jobs are called that keep what is done until their result has been written. */
const suffixes = { compress: 'forms', repair: 'repair', patch: 'patch', narrow: 'narrow' } as const;

/**
 * Names a folder for the unfinished work of this process and its children. The editor does, to keep it out of the
 * workspace; without one, work lies beside its result.
 */
export const workRoot = 'ESPALIER_WORK_FOLDER';

/** Where the unfinished work on `out` lies, by its name beside the result. */
function placeOf(out: string, name: (base: string) => string): string {
  const path = resolve(out);
  const root = process.env[workRoot];
  if (root === undefined) {
    return join(dirname(path), name(basename(path)));
  }
  const hash = createHash('sha256').update(dirname(path)).digest('hex').slice(0, 16);
  return join(root, hash, name(basename(path)));
}

/** The hidden folder in which a job keeps what is done until the result `out` is written. */
export const workFolder = (out: string, kind: keyof typeof suffixes): string =>
  placeOf(out, (base) => `.${base}.espalier-${suffixes[kind]}`);

/** The journal of a job that writes the document `out`. */
export const journalOfDocument = (out: string): string =>
  placeOf(out, (base) => `${base.replace(/\.json$/, '')}.journal.jsonl`);

/** The folder in which trainings keep what is done until the document `out` is written. */
export const runsOfDocument = (out: string): string => placeOf(out, (base) => `${base}.runs`);

/** The journal of an evolution that writes into the folder `out`. */
export const evolutionJournal = (out: string): string => join(out, 'synthesis.journal.jsonl');
