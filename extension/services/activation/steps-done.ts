import { commands } from 'vscode';

/**
 * Ticks what a walkthrough waits for by a context key: VS Code itself notices only the commands that its own window
 * runs, not those behind a panel's button or a notification. The key is set for a moment: one that is set already when
 * the walkthrough is opened never ticks anything.
 */
export function tellDone(what: string): void {
  for (const value of [true, undefined]) {
    void commands.executeCommand('setContext', `espalier.done.${what}`, value);
  }
}
