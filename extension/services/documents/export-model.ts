import { dirname, join } from 'node:path';
import { l10n, Uri, window } from 'vscode';
import { say } from '../../core/message';
import { UserError } from '../../core/user-error';
import type { ExportFormat } from '../../protocol/explorer';
import type { ExplorerSession } from '../sessions/explorer-session';
import type { Reports } from '../reports/reports';

const extensions = { json: 'structure.json', csv: 'tensors.csv' } as const;

/**
 * Writes a model's structure, with the statistics that were read, to a file that the user names;
 * Markdown is shown instead.
 */
export async function exportModel(
  session: ExplorerSession,
  format: ExportFormat,
  reports: Reports,
): Promise<void> {
  const { model, path } = session;
  if (model === undefined) {
    return;
  }
  if (format === 'markdown') {
    await reports.showStructure(model.name, model.path);
    return;
  }
  const target = await window.showSaveDialog({
    title: l10n.t('Export the structure of {0}', model.name),
    defaultUri: Uri.file(join(dirname(path), `${model.name}.${extensions[format]}`)),
    saveLabel: l10n.t('Export'),
  });
  if (target !== undefined) {
    if (target.scheme !== 'file') {
      throw new UserError('folder-not-on-disk', say`It can only be saved to a disk.`, {
        file: target.toString(),
        remedy: say`Choose a folder on a disk that can be written to.`,
      });
    }
    await session.export(format, target.fsPath);
    await window.showTextDocument(target, { preview: true });
  }
}
