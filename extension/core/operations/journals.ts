import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileBeside } from '../jobs/saved-parts';
import { journalOfDocument } from '../jobs/work-folder';
import { statesEnding } from '../runtime/states/walk';
import { userCacheFolder } from '../jobs/user-cache';

/** What journals are kept of: one of each kind for a model whose result has no file. */
type JournalKind =
  | 'search'
  | 'sensitivity'
  | 'plan'
  | 'score-text'
  | 'pareto'
  | 'evaluate'
  | 'task'
  | 'imatrix'
  | 'experts';

/** The journal of a job: that of its result, or one in the user's cache where the result has no file. */
export function journalOf(kind: JournalKind, out: string | undefined, model: string): string {
  if (out !== undefined) {
    return journalOfDocument(out);
  }
  const path = resolve(model);
  const key = createHash('sha256').update(path).digest('hex').slice(0, 16);
  return join(userCacheFolder(), 'journals', `${basename(path)}-${key}.${kind}.journal.jsonl`);
}

/** The files in which a walk through a model saves its progress. */
export function filesOfWalk(...of: Parameters<typeof journalOf>): readonly string[] {
  const journal = journalOf(...of);
  return [journal, fileBeside(journal, statesEnding)];
}

/** A journal as {@link journalOf} names it, in a folder that is there; that of the result is not made. */
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

/** Folders of runs that have written nothing for so long were left by runs that were killed. */
const staleMilliseconds = 7 * 24 * 60 * 60 * 1000;

/**
 * A folder beside a journal for the work of one run alone, as others of the same model may run meanwhile. The caller
 * makes and removes it; what runs that were killed have left is removed here.
 */
export async function ownFolder(journal: string, name: string): Promise<string> {
  const folder = dirname(journal);
  const prefix = `${basename(journal)}.${name}-`;
  for (const other of await readdir(folder)) {
    const path = join(folder, other);
    if (other.startsWith(prefix) && (await isStale(path))) {
      await rm(path, { recursive: true, force: true });
    }
  }
  return join(folder, `${prefix}${randomUUID()}`);
}

async function isStale(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > staleMilliseconds;
}
