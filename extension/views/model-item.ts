import { l10n, ThemeIcon, workspace } from 'vscode';
import type { TreeItem, Uri } from 'vscode';
import { formatBytes, formatCount } from '../core/format';
import { counts } from '../services/counts';
import { mainType, modelContext } from '../services/documents/model-context';
import type { OpenModels } from '../services/documents/open-models';
import { describeError } from '../services/report-error';

/** Fills in what a tree shows of a model: type, size, architecture, and by its context value what can be done with it. */
export async function describeModelItem(
  item: TreeItem,
  model: Uri,
  models: OpenModels,
): Promise<void> {
  try {
    const { summary, capabilities } = await models.inspect(model.fsPath);
    item.description = [
      mainType(summary),
      formatBytes(summary.bytes),
      summary.architecture,
      l10n.t('{0} parameters', formatCount(summary.parameters)),
    ].join(' · ');
    item.tooltip = l10n.t(
      '{0}: {1}, {2}',
      workspace.asRelativePath(model),
      counts.formatBlocks(summary),
      counts.sublayers(summary.sublayers.length),
    );
    item.contextValue = modelContext(capabilities);
  } catch (error) {
    item.description = l10n.t('cannot be opened');
    item.tooltip = describeError(error);
    item.iconPath = new ThemeIcon('warning');
    item.contextValue = 'broken';
  }
}
