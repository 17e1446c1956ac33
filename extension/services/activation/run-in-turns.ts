import { setImmediate as nextTurn } from 'node:timers/promises';

/** Imports parts of the extension, each in a turn of its own: all together would keep the editor's thread for a frame. */
export async function runInTurns(parts: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const part of parts) {
    await part();
    await nextTurn();
  }
}
