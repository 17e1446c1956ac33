import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { journalOfDocument } from '../jobs/work-folder';
import { userCacheFolder } from '../runtime/user-cache';

/** What journals are kept of: one of each kind for a model whose result has no file. */
type JournalKind = 'search' | 'sensitivity' | 'score-text';

/** The journal of a job: that of its result, or one in the user's cache where the result has no file. */
export function journalOf(kind: JournalKind, out: string | undefined, model: string): string {
  if (out !== undefined) {
    return journalOfDocument(out);
  }
  const path = resolve(model);
  const key = createHash('sha256').update(path).digest('hex').slice(0, 16);
  return join(userCacheFolder(), 'journals', `${basename(path)}-${key}.${kind}.journal.jsonl`);
}

/** The same, in a folder that is there; that of the result is not made. */
export async function prepareJournal(
  kind: JournalKind,
  out: string | undefined,
  model: string,
): Promise<string> {
  const journal = journalOf(kind, out, model);
  if (out === undefined || dirname(journal) !== dirname(resolve(out))) {
    await mkdir(dirname(journal), { recursive: true });
  }
  return journal;
}
