import { Buffer } from 'node:buffer';
import { l10n, Uri, window, workspace } from 'vscode';
import { describeError } from '../services/report-error';

/** Asks where to save a picture of a chart. @param png in base64 */
export async function saveImage(title: string, png: string): Promise<void> {
  const folder = workspace.workspaceFolders?.[0]?.uri;
  const name = `${title.replaceAll(/[^\p{L}\p{N}.-]+/gu, '-')}.png`;
  const target = await window.showSaveDialog({
    title: l10n.t('Save Image'),
    filters: { PNG: ['png'] },
    ...(folder === undefined ? {} : { defaultUri: Uri.joinPath(folder, name) }),
  });
  if (target === undefined) {
    return;
  }
  try {
    await workspace.fs.writeFile(target, Buffer.from(png, 'base64'));
  } catch (error) {
    await window.showErrorMessage(describeError(error));
  }
}
