import { basename, dirname, join } from 'node:path';
import { commands, l10n, Uri } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { FromExplorer, ToExplorer } from '../protocol/explorer';
import { commandIds } from '../services/command-ids';
import { exportModel } from '../services/export-model';
import type { ExplorerSession } from '../services/explorer-session';
import type { Reports } from '../services/reports';
import { MessagePanel } from './message-panel';
import { newTab } from './panel';
import type { Asked } from './panel';

/** One webview that shows a model's structure, in a tab of its own or as a custom editor. */
export class ExplorerPanel extends MessagePanel<ExplorerSession, FromExplorer, ToExplorer> {
  public static readonly kind = { name: 'explorer', viewType: 'espalier.explorer' } as const;

  readonly #reports: Reports;

  public constructor(
    panel: WebviewPanel,
    extension: Uri,
    reports: Reports,
    session: ExplorerSession,
  ) {
    super(panel, extension, ExplorerPanel.kind, titleOf(session), session);
    this.#reports = reports;
    this.disposables.push(session);
  }

  /** A new tab. */
  public static create(extension: Uri, reports: Reports, session: ExplorerSession): ExplorerPanel {
    const panel = newTab(ExplorerPanel.kind, titleOf(session));
    return new ExplorerPanel(panel, extension, reports, session);
  }

  protected async receive(message: Asked<FromExplorer>): Promise<void> {
    switch (message.type) {
      case 'reload':
        await this.session.open();
        break;
      case 'statistics':
        await this.session.measure(message.tensor);
        break;
      case 'revealed':
        this.session.hasRevealed();
        break;
      case 'diagram':
        await this.session.draw(message.open);
        break;
      case 'worth':
        await this.session.tellWorth();
        break;
      case 'export':
        await exportModel(this.session, message.format, this.#reports);
        break;
      case 'openHeatmap':
        await commands.executeCommand(commandIds.openHeatmap, Uri.file(this.session.path));
        break;
      case 'openFile':
        await this.#openFile(message.name);
        break;
      case 'compare':
        await commands.executeCommand(commandIds.compareModels, this.session);
        break;
      case 'compareWeights':
        await this.session.compareWeights();
        break;
      case 'endComparison':
        this.session.endComparison();
        break;
    }
  }

  /** Only files that the description names: a webview opens nothing else. */
  async #openFile(name: string): Promise<void> {
    const { model } = this.session;
    if (model?.sideFiles.some((file) => file.name === name) === true) {
      const [first] = model.files;
      const folder = first === undefined ? this.session.path : dirname(first.path);
      await commands.executeCommand('vscode.open', Uri.file(join(folder, name)));
    }
  }
}

const titleOf = ({ path }: ExplorerSession): string => l10n.t('Model: {0}', basename(path));
