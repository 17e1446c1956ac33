import { readFileSync } from 'node:fs';

/** Text of a file of proc(5), such as `self/status`; undefined if there is none, as outside Linux. */
export function readProc(name: string): string | undefined {
  try {
    return readFileSync(`/proc/${name}`, 'latin1');
  } catch {
    return undefined;
  }
}
