import { fileExists } from './documents';

/** The path, or the first of `path-2`, `path-3`, … where nothing is yet. */
export async function freeName(path: string): Promise<string> {
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? path : `${path}-${i}`;
    if (!(await fileExists(candidate))) {
      return candidate;
    }
  }
}
