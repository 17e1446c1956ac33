import { readFileSync } from 'node:fs';

/** Text of a file of proc(5), such as `self/status`; undefined if there is none, as outside Linux. */
export function readProc(name: string): string | undefined {
  return readSystemFile(`/proc/${name}`);
}

/** Text of a file that the kernel generates; undefined if it can't be read. */
export function readSystemFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
