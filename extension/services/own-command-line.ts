import process from 'node:process';
import { Uri } from 'vscode';

/** How the command line is started: by the runtime of the editor, so that no Node has to be there. */
export const ownCommandLine = (
  extensionUri: Uri,
): { readonly program: string; readonly script: string; readonly env: Record<string, string> } => ({
  program: process.execPath,
  script: Uri.joinPath(extensionUri, 'dist', 'cli.js').fsPath,
  env: { ELECTRON_RUN_AS_NODE: '1' },
});
