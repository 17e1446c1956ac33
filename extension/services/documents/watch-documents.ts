import { Disposable, workspace } from 'vscode';
import type { Uri } from 'vscode';

/** Updates views when another program, such as the command line, changes their documents. */
export function watchDocuments(
  pattern: string,
  reload: (path: string) => Promise<unknown>,
): Disposable {
  const watcher = workspace.createFileSystemWatcher(pattern);
  const changed = (uri: Uri): void => {
    void reload(uri.fsPath);
  };
  return Disposable.from(
    watcher,
    watcher.onDidCreate(changed),
    watcher.onDidChange(changed),
    watcher.onDidDelete(changed),
  );
}
