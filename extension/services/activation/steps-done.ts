import { commands } from 'vscode';

const told = new Set<string>();

/**
 * Ticks what a walkthrough waits for by a context key: VS Code itself notices only the commands that its own window
 * runs, not those behind a panel's button or a notification.
 */
export function tellDone(what: string): void {
  if (!told.has(what)) {
    told.add(what);
    void commands.executeCommand('setContext', `espalier.done.${what}`, true);
  }
}
