import { basename } from 'node:path';
import { commands, l10n, Uri, ViewColumn } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { FromDataMap, ToDataMap } from '../protocol/datamap';
import { commandIds } from '../services/command-ids';
import type { DataMapSession } from '../services/data-map-session';
import { MessagePanel } from './message-panel';
import { idOf, newTab } from './panel';
import type { Asked } from './panel';

/** One webview that shows scores of a data set, in a tab of its own or as a custom editor. */
export class DataMapPanel extends MessagePanel<DataMapSession, FromDataMap, ToDataMap> {
  public static readonly kind = { name: 'datamap', viewType: 'espalier.dataMap' } as const;

  public constructor(panel: WebviewPanel, extension: Uri, session: DataMapSession) {
    super(panel, extension, DataMapPanel.kind, titleOf(session), session);
  }

  /** A new tab. */
  public static create(extension: Uri, session: DataMapSession): DataMapPanel {
    return new DataMapPanel(newTab(DataMapPanel.kind, titleOf(session)), extension, session);
  }

  protected async receive(message: Asked<FromDataMap>): Promise<void> {
    const { session } = this;
    switch (message.type) {
      case 'reload':
        await session.open();
        break;
      case 'examples':
        await session.ask(message.query);
        break;
      case 'mark':
        session.mark(message.indices, message.marked);
        break;
      case 'subset':
        await session.chooseSubset(message.subset);
        break;
      case 'export':
        await commands.executeCommand(commandIds.exportSubset, session);
        break;
      case 'compare':
        await commands.executeCommand(commandIds.compareSubsets, session);
        break;
      case 'cancelExport':
        await commands.executeCommand(commandIds.cancelJob, idOf(session.exportJob));
        break;
      case 'chooseData':
        await commands.executeCommand(commandIds.openDataMap, session);
        break;
      case 'openText':
        await commands.executeCommand(
          'vscode.openWith',
          Uri.file(session.source.scores),
          'default',
          ViewColumn.Beside,
        );
        break;
    }
  }
}

const titleOf = ({ source }: DataMapSession): string =>
  l10n.t('Data Map: {0}', basename(source.scores).replace(/\.scores\.json$/, ''));
