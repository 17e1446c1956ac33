import { basename, dirname, join } from 'node:path';
import { commands, Disposable, EventEmitter, l10n, Uri, ViewColumn, window } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { FromExplorer } from '../protocol/explorer';
import { commandIds } from '../services/command-ids';
import { exportModel } from '../services/export-model';
import type { ExplorerSession } from '../services/explorer-session';
import type { Reports } from '../services/reports';
import { panelHtml, webviewRoot } from './panel-html';

/** One webview that shows a model's structure, in a tab of its own or as a custom editor. */
export class ExplorerPanel implements Disposable {
  public static readonly viewType = 'espalier.explorer';

  readonly #panel: WebviewPanel;
  readonly #reports: Reports;
  readonly #disposables: Disposable[] = [];
  readonly #disposed = new EventEmitter<void>();

  public readonly onDidDispose = this.#disposed.event;

  public constructor(
    panel: WebviewPanel,
    extension: Uri,
    reports: Reports,
    public readonly session: ExplorerSession,
  ) {
    this.#panel = panel;
    this.#reports = reports;
    const { webview } = panel;
    webview.options = { enableScripts: true, localResourceRoots: [webviewRoot(extension)] };
    panel.iconPath = {
      light: Uri.joinPath(extension, 'media', 'explorer-light.svg'),
      dark: Uri.joinPath(extension, 'media', 'explorer-dark.svg'),
    };
    this.#disposables.push(
      session.messages.listen((message) => {
        void webview.postMessage(message);
      }),
      webview.onDidReceiveMessage((message: FromExplorer) => {
        void this.#receive(message);
      }),
      panel.onDidDispose(() => {
        this.dispose();
      }),
    );
    webview.html = panelHtml('explorer', webview, extension, ExplorerPanel.titleOf(session));
  }

  /** A new tab. */
  public static create(extension: Uri, reports: Reports, session: ExplorerSession): ExplorerPanel {
    const panel = window.createWebviewPanel(
      ExplorerPanel.viewType,
      ExplorerPanel.titleOf(session),
      { viewColumn: ViewColumn.Active, preserveFocus: false },
      {},
    );
    return new ExplorerPanel(panel, extension, reports, session);
  }

  public static titleOf({ path }: ExplorerSession): string {
    return l10n.t('Model: {0}', basename(path));
  }

  public get active(): boolean {
    return this.#panel.active;
  }

  public reveal(): void {
    this.#panel.reveal();
  }

  public dispose(): void {
    Disposable.from(...this.#disposables.splice(0)).dispose();
    this.session.dispose();
    this.#disposed.fire();
    this.#disposed.dispose();
    this.#panel.dispose();
  }

  async #receive(message: FromExplorer): Promise<void> {
    switch (message.type) {
      case 'ready':
        for (const known of this.session.snapshot()) {
          void this.#panel.webview.postMessage(known);
        }
        break;
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
