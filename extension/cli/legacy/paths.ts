import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultDocumentPath } from '../../core/document-names';
import { journalBeside } from '../../core/jobs/work-folder';
import { userCacheFolder } from '../../core/runtime/user-cache';
import type { ModelSummary } from '../../core/models/model-summary';

/** Where a sensitivity table goes when no `--out` is given. */
export function defaultSensitivityPath(model: ModelSummary): string {
  return defaultDocumentPath('sensitivity', model.path);
}

/** The journal of a search: beside its result, or in the user's cache when it has no file. */
export async function journalPath(out: string | undefined, model: ModelSummary): Promise<string> {
  if (out !== undefined) {
    return journalBeside(out);
  }
  const folder = join(userCacheFolder(), 'journals');
  await mkdir(folder, { recursive: true });
  const key = createHash('sha256').update(`${model.path}\n${model.fingerprint}`).digest('hex');
  return join(folder, `${model.name}-${key.slice(0, 16)}.journal.jsonl`);
}
