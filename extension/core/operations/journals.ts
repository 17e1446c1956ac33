import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { journalBeside } from '../prune/profile-model';
import { userCacheFolder } from '../runtime/user-cache';

/** The journal of a search: beside its result, or in the user's cache where it has no file. */
export function journalOf(out: string | undefined, model: string): string {
  if (out !== undefined) {
    return journalBeside(out);
  }
  const path = resolve(model);
  const key = createHash('sha256').update(path).digest('hex').slice(0, 16);
  return join(userCacheFolder(), 'journals', `${basename(path)}-${key}.journal.jsonl`);
}

/** The same, in a folder that is there. */
export async function prepareJournal(out: string | undefined, model: string): Promise<string> {
  const journal = journalOf(out, model);
  if (out === undefined) {
    await mkdir(dirname(journal), { recursive: true });
  }
  return journal;
}
