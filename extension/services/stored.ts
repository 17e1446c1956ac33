import { Uri } from 'vscode';
import type { ExtensionContext } from 'vscode';

type Places = Pick<ExtensionContext, 'storageUri' | 'globalStorageUri'>;

/** Storage path: jobs and reports belong to the workspace if one is open. */
export const stored = ({ storageUri, globalStorageUri }: Places, name: string): string =>
  Uri.joinPath(storageUri ?? globalStorageUri, name).fsPath;

/** The file that remembers jobs between windows. */
export const jobsFile = (places: Places): string => stored(places, 'jobs.json');
