import { readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/** Maximum number of dangling links that are followed, as in Linux. */
const maxLinks = 40;

/** Path with all links resolved. Its last parts may not exist yet, even if a link points to them. */
export async function resolveLinks(path: string, links = maxLinks): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    if (parent === path) {
      return path;
    }
    const place = join(await resolveLinks(parent, links), basename(path));
    const target = links > 0 ? await readlink(place).catch(() => undefined) : undefined;
    return target === undefined ? place : resolveLinks(resolve(dirname(place), target), links - 1);
  }
}
