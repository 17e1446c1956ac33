import { Disposable, workspace } from 'vscode';
import type { Uri } from 'vscode';
import type { ModelSessions } from './model-sessions';

/** Keeps sessions in step with profiles that something else writes, such as the command line. */
export function watchProfiles(sessions: ModelSessions): Disposable {
  const watcher = workspace.createFileSystemWatcher('**/*.layerprofile.json');
  const reload = (uri: Uri): void => {
    void sessions.reload(uri.fsPath);
  };
  return Disposable.from(
    watcher,
    watcher.onDidCreate(reload),
    watcher.onDidChange(reload),
    watcher.onDidDelete(reload),
  );
}
