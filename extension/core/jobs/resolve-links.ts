import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** The real path; its last parts may not exist yet. */
export async function resolveLinks(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await resolveLinks(parent), basename(path));
  }
}
