import { dirname, join } from 'node:path';
import { l10n, Uri, window, workspace } from 'vscode';
import { allTensors, tensorsAsCsv } from '../core/inspect/tensor-table';
import type { ModelDescription } from '../core/inspect/model-description';
import type { ExportFormat } from '../protocol/explorer';
import type { ExplorerSession } from './explorer-session';
import type { Reports } from './reports';

const writers: Readonly<
  Record<
    Exclude<ExportFormat, 'markdown'>,
    { readonly extension: string; readonly write: (model: ModelDescription) => string }
  >
> = {
  json: {
    extension: 'structure.json',
    write: (model) => `${JSON.stringify(model, undefined, 2)}\n`,
  },
  csv: {
    extension: 'tensors.csv',
    write: (model) => tensorsAsCsv(allTensors(model), undefined),
  },
};

/** Writes a model's structure to a file that the user names; Markdown is shown instead. */
export async function exportModel(
  { model, path }: ExplorerSession,
  format: ExportFormat,
  reports: Reports,
): Promise<void> {
  if (model === undefined) {
    return;
  }
  if (format === 'markdown') {
    await reports.showStructure(model.name, model.path);
    return;
  }
  const { extension, write } = writers[format];
  const target = await window.showSaveDialog({
    title: l10n.t('Export the structure of {0}', model.name),
    defaultUri: Uri.file(join(dirname(path), `${model.name}.${extension}`)),
    saveLabel: l10n.t('Export'),
  });
  if (target !== undefined) {
    await workspace.fs.writeFile(target, Buffer.from(write(model)));
    await window.showTextDocument(target, { preview: true });
  }
}
