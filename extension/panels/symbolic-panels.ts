import { Disposable, window, workspace } from 'vscode';
import type { Uri, WebviewPanel, WebviewPanelSerializer } from 'vscode';
import type { Syntheses } from '../services/services';
import type { SynthesisSession } from '../services/synthesis-session';
import type { SynthesisSessions } from '../services/synthesis-sessions';
import { messageHtml } from './panel-html';
import { SymbolicPanel } from './symbolic-panel';

/** The open panels of evolutions: tabs and custom editors. */
export class SymbolicPanels implements Syntheses, WebviewPanelSerializer, Disposable {
  /** Of the custom editor for logs of evolutions. */
  public static readonly editorViewType = 'espalier.symbolicEditor';

  readonly #extension: Uri;
  readonly #sessions: SynthesisSessions;
  readonly #panels = new Set<SymbolicPanel>();
  readonly #registrations: Disposable;

  public constructor(extension: Uri, sessions: SynthesisSessions) {
    this.#extension = extension;
    this.#sessions = sessions;
    this.#registrations = Disposable.from(
      window.registerWebviewPanelSerializer(SymbolicPanel.viewType, this),
      workspace.onDidGrantWorkspaceTrust(() => {
        for (const session of sessions.known) {
          session.refreshBlocked();
        }
      }),
    );
  }

  public get panels(): readonly SymbolicPanel[] {
    return [...this.#panels];
  }

  public isShown(session: SynthesisSession): boolean {
    return this.panels.some((panel) => panel.visible && panel.session === session);
  }

  public show(session: SynthesisSession): void {
    const open = this.panels.find((panel) => panel.session === session);
    if (open === undefined) {
      this.#keep(SymbolicPanel.create(this.#extension, session));
    } else {
      open.reveal();
    }
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public async fill(panel: WebviewPanel, file: string): Promise<void> {
    const session = this.#sessions.get(file);
    this.#keep(new SymbolicPanel(panel, this.#extension, session));
    await session.open();
  }

  public async deserializeWebviewPanel(panel: WebviewPanel, saved: unknown): Promise<void> {
    const file: unknown = typeof saved === 'object' && saved !== null && Reflect.get(saved, 'file');
    if (typeof file === 'string') {
      await this.fill(panel, file);
    } else {
      panel.webview.html = messageHtml(panel.title, 'The panel kept no evolution.');
    }
  }

  public dispose(): void {
    // The panels stay: closing them here would keep them from coming back after a reload.
    this.#registrations.dispose();
  }

  #keep(panel: SymbolicPanel): void {
    this.#panels.add(panel);
    panel.onDidDispose(() => this.#panels.delete(panel));
  }
}
