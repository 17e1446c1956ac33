import { basename } from 'node:path';
import { commands, Disposable, EventEmitter, l10n, Uri, ViewColumn, window } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { FromDataMap } from '../protocol/datamap';
import { commandIds } from '../services/command-ids';
import type { DataMapSession } from '../services/data-map-session';
import { panelHtml, webviewRoot } from './panel-html';

/** One webview that shows scores of a data set, in a tab of its own or as a custom editor. */
export class DataMapPanel implements Disposable {
  public static readonly viewType = 'espalier.dataMap';

  readonly #panel: WebviewPanel;
  readonly #disposables: Disposable[] = [];
  readonly #disposed = new EventEmitter<void>();
  /** The webview's script runs. */
  #ready = false;

  public readonly onDidDispose = this.#disposed.event;

  public constructor(
    panel: WebviewPanel,
    extension: Uri,
    public readonly session: DataMapSession,
  ) {
    this.#panel = panel;
    const { webview } = panel;
    webview.options = { enableScripts: true, localResourceRoots: [webviewRoot(extension)] };
    panel.iconPath = {
      light: Uri.joinPath(extension, 'media', 'datamap-light.svg'),
      dark: Uri.joinPath(extension, 'media', 'datamap-dark.svg'),
    };
    this.#disposables.push(
      session.messages.listen((message) => {
        void webview.postMessage(message);
      }),
      webview.onDidReceiveMessage((message: FromDataMap) => {
        void this.#receive(message);
      }),
      panel.onDidDispose(() => {
        this.dispose();
      }),
    );
    webview.html = panelHtml('datamap', webview, extension, DataMapPanel.titleOf(session));
  }

  /** A new tab. */
  public static create(extension: Uri, session: DataMapSession): DataMapPanel {
    const panel = window.createWebviewPanel(
      DataMapPanel.viewType,
      DataMapPanel.titleOf(session),
      { viewColumn: ViewColumn.Active, preserveFocus: false },
      {},
    );
    return new DataMapPanel(panel, extension, session);
  }

  public static titleOf({ source }: DataMapSession): string {
    return l10n.t('Data Map: {0}', basename(source.scores).replace(/\.scores\.json$/, ''));
  }

  public get active(): boolean {
    return this.#panel.active;
  }

  public get visible(): boolean {
    return this.#panel.visible;
  }

  public get ready(): boolean {
    return this.#ready;
  }

  public reveal(): void {
    this.#panel.reveal();
  }

  public dispose(): void {
    Disposable.from(...this.#disposables.splice(0)).dispose();
    this.#disposed.fire();
    this.#disposed.dispose();
    this.#panel.dispose();
  }

  async #receive(message: FromDataMap): Promise<void> {
    const { session } = this;
    switch (message.type) {
      case 'ready':
        this.#ready = true;
        for (const known of session.snapshot()) {
          void this.#panel.webview.postMessage(known);
        }
        break;
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
        await commands.executeCommand(commandIds.cancelJob, 'export');
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
