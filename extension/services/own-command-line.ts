import process from 'node:process';
import { Uri } from 'vscode';

/**
 * Command that starts the command line with the editor's own runtime, so that Node needn't be
 * installed.
 */
export const ownCommandLine = (
  extensionUri: Uri,
): { readonly program: string; readonly script: string; readonly env: Record<string, string> } => ({
  program: process.execPath,
  script: Uri.joinPath(extensionUri, 'dist', 'cli.js').fsPath,
  env: { ELECTRON_RUN_AS_NODE: '1' },
});
