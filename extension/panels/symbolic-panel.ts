import { basename, dirname } from 'node:path';
import { commands, Disposable, env, EventEmitter, l10n, Uri, ViewColumn, window } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { FromSymbolic } from '../protocol/symbolic';
import { commandIds } from '../services/command-ids';
import type { SynthesisSession } from '../services/synthesis-session';
import { panelHtml, webviewRoot } from './panel-html';

/** One webview that shows an evolution of symbolic modules, in a tab of its own or as a custom editor. */
export class SymbolicPanel implements Disposable {
  public static readonly viewType = 'espalier.symbolic';

  readonly #panel: WebviewPanel;
  readonly #disposables: Disposable[] = [];
  readonly #disposed = new EventEmitter<void>();
  /** The webview's script runs. */
  #ready = false;

  public readonly onDidDispose = this.#disposed.event;

  public constructor(
    panel: WebviewPanel,
    extension: Uri,
    public readonly session: SynthesisSession,
  ) {
    this.#panel = panel;
    const { webview } = panel;
    webview.options = { enableScripts: true, localResourceRoots: [webviewRoot(extension)] };
    panel.iconPath = {
      light: Uri.joinPath(extension, 'media', 'symbolic-light.svg'),
      dark: Uri.joinPath(extension, 'media', 'symbolic-dark.svg'),
    };
    this.#disposables.push(
      session.messages.listen((message) => {
        void webview.postMessage(message);
      }),
      webview.onDidReceiveMessage((message: FromSymbolic) => {
        void this.#receive(message);
      }),
      panel.onDidDispose(() => {
        this.dispose();
      }),
    );
    webview.html = panelHtml('symbolic', webview, extension, SymbolicPanel.titleOf(session));
  }

  /** A new tab. */
  public static create(extension: Uri, session: SynthesisSession): SymbolicPanel {
    const panel = window.createWebviewPanel(
      SymbolicPanel.viewType,
      SymbolicPanel.titleOf(session),
      { viewColumn: ViewColumn.Active, preserveFocus: false },
      {},
    );
    return new SymbolicPanel(panel, extension, session);
  }

  public static titleOf({ file }: SynthesisSession): string {
    return l10n.t('Evolution: {0}', basename(dirname(file)));
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

  async #receive(message: FromSymbolic): Promise<void> {
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
      case 'resume':
        await commands.executeCommand(commandIds.resumeSynthesis);
        break;
      case 'cancel':
        await commands.executeCommand(commandIds.cancelJob, 'synthesize');
        break;
      case 'copy':
        await env.clipboard.writeText(message.text);
        break;
      case 'openText':
        await commands.executeCommand(
          'vscode.openWith',
          Uri.file(session.file),
          'default',
          ViewColumn.Beside,
        );
        break;
    }
  }
}
