import { basename, dirname, join, resolve } from 'node:path';

/** What the folders of jobs are called that keep what is done until their result has been written. */
const suffixes = { compress: 'forms', repair: 'repair', patch: 'patch' } as const;

/** The hidden folder beside the result `out` in which a job keeps what is done. */
export function workFolder(out: string, kind: keyof typeof suffixes): string {
  const path = resolve(out);
  return join(dirname(path), `.${basename(path)}.espalier-${suffixes[kind]}`);
}

/** The journal of a job that writes the document `out`. */
export const journalBeside = (out: string): string => `${out.replace(/\.json$/, '')}.journal.jsonl`;

/** The folder in which trainings keep what is done until the document `out` is written. */
export const runsBeside = (out: string): string => `${out}.runs`;

/** The journal of an evolution that writes into the folder `out`. */
export const evolutionJournal = (out: string): string => join(out, 'synthesis.journal.jsonl');
