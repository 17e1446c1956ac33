import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { siblingFile } from '../jobs/saved-parts';
import { documentJournal } from '../jobs/work-folder';
import { statesEnding } from '../runtime/states/walk';
import { userCacheFolder } from '../jobs/user-cache';

/** Journal of an operation: next to its result, or in the user's cache if the result has no file. */
export interface OperationJournal {
  /** @param model path that the cached journal is named for */
  readonly path: (out: string | undefined, model: string) => string;
  /** The journal and the hidden states that a walk through a model saves. */
  readonly walkFiles: (out: string | undefined, model: string) => readonly string[];
  /** Returns {@link path}, after making its folder. The folder of the result is not made. */
  readonly prepare: (out: string | undefined, model: string) => Promise<string>;
}

/**
 * Declares the journal of an operation. Operations that continue each other's work share one.
 * @param name end of the cached file's name, unique among operations
 */
export function operationJournal(name: string): OperationJournal {
  const path: OperationJournal['path'] = (out, model) => {
    if (out !== undefined) {
      return documentJournal(out);
    }
    const place = resolve(model);
    const key = createHash('sha256').update(place).digest('hex').slice(0, 16);
    return join(userCacheFolder(), 'journals', `${basename(place)}-${key}.${name}.journal.jsonl`);
  };
  return {
    path,
    walkFiles: (out, model) => {
      const journal = path(out, model);
      return [journal, siblingFile(journal, statesEnding)];
    },
    prepare: async (out, model) => {
      const journal = path(out, model);
      if (out === undefined || dirname(journal) !== dirname(resolve(out))) {
        await mkdir(dirname(journal), { recursive: true });
      }
      return journal;
    },
  };
}

/** Age after which a run's folder without writes is considered abandoned. */
const staleMilliseconds = 7 * 24 * 60 * 60 * 1000;

/**
 * Folder next to a journal for a single run, because other runs on the same model may be in
 * progress. The caller creates and removes it; folders of runs that were killed are removed here.
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
