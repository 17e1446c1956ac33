import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Imports parts of the extension in separate event-loop turns; importing all at once would block the editor for a
 * frame.
 */
export async function runInTurns(parts: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const part of parts) {
    await part();
    await nextTurn();
  }
}
