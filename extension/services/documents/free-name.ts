import { fileExists } from './documents';

/**
 * The path, or the first of `path-2`, `path-3`, … that doesn't exist, each with the extension
 * appended.
 */
export async function freeName(path: string, ending = ''): Promise<string> {
  for (let i = 1; ; i++) {
    const candidate = `${i === 1 ? path : `${path}-${i}`}${ending}`;
    if (!(await fileExists(candidate))) {
      return candidate;
    }
  }
}
