import { dirname, join } from 'node:path';
import { l10n, Uri, window, workspace } from 'vscode';
import { allTensors, tensorsAsCsv } from '../../core/inspect/tensor-table';
import type { ModelDescription } from '../../core/inspect/model-description';
import type { TensorStatistics } from '../../core/inspect/tensor-statistics';
import type { ExportFormat } from '../../protocol/explorer';
import type { ExplorerSession } from '../sessions/explorer-session';
import type { Reports } from '../reports/reports';

const writers: Readonly<
  Record<
    Exclude<ExportFormat, 'markdown'>,
    {
      readonly extension: string;
      readonly write: (
        model: ModelDescription,
        statistics: ReadonlyMap<string, TensorStatistics>,
      ) => string;
    }
  >
> = {
  json: {
    extension: 'structure.json',
    write: (model, statistics) => {
      const known = statistics.size === 0 ? {} : { statistics: Object.fromEntries(statistics) };
      return `${JSON.stringify({ ...model, ...known }, undefined, 2)}\n`;
    },
  },
  csv: {
    extension: 'tensors.csv',
    write: (model, statistics) =>
      tensorsAsCsv(allTensors(model), statistics.size === 0 ? undefined : statistics),
  },
};

/**
 * Writes a model's structure, with the statistics that were read, to a file that the user names;
 * Markdown is shown instead.
 */
export async function exportModel(
  { model, path, statistics }: ExplorerSession,
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
    await workspace.fs.writeFile(target, Buffer.from(write(model, statistics)));
    await window.showTextDocument(target, { preview: true });
  }
}
