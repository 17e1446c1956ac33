import { window } from 'vscode';
import type { Disposable, Uri, WebviewPanel, WebviewPanelSerializer } from 'vscode';
import type { CompressionRestore } from '../protocol/compression';
import type { CompressionSession } from '../services/compression-session';
import type { CompressionSessions } from '../services/compression-sessions';
import { describeError } from '../services/report-error';
import type { Compressions } from '../services/services';
import { CompressionPanel } from './compression-panel';
import { messageHtml } from './panel-html';

/** The open compression panels: one for each session, and the custom editors. */
export class CompressionPanels implements Compressions, WebviewPanelSerializer, Disposable {
  readonly #extension: Uri;
  readonly #sessions: CompressionSessions;
  readonly #panels = new Set<CompressionPanel>();
  readonly #registration: Disposable;

  public constructor(extension: Uri, sessions: CompressionSessions) {
    this.#extension = extension;
    this.#sessions = sessions;
    this.#registration = window.registerWebviewPanelSerializer(CompressionPanel.viewType, this);
  }

  public get panels(): readonly CompressionPanel[] {
    return [...this.#panels];
  }

  public get active(): CompressionSession | undefined {
    return this.panels.find((panel) => panel.active)?.session;
  }

  public isShown(session: CompressionSession): boolean {
    return this.panels.some((panel) => panel.visible && panel.session === session);
  }

  public show(session: CompressionSession): void {
    const open = this.panels.find((panel) => panel.session.file === session.file);
    if (open === undefined) {
      this.#keep(CompressionPanel.create(this.#extension, session));
    } else {
      open.reveal(session);
    }
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public fill(panel: WebviewPanel, session: CompressionSession): void {
    this.#keep(new CompressionPanel(panel, this.#extension, session));
  }

  public async deserializeWebviewPanel(panel: WebviewPanel, saved: unknown): Promise<void> {
    try {
      const { model, file } = restoreOf(saved);
      this.fill(panel, await this.#sessions.open(model, file));
    } catch (error) {
      panel.webview.html = messageHtml(panel.title, describeError(error));
    }
  }

  public dispose(): void {
    // The panels stay: closing them here would keep them from coming back after a reload.
    this.#registration.dispose();
  }

  #keep(panel: CompressionPanel): void {
    this.#panels.add(panel);
    panel.onDidDispose(() => this.#panels.delete(panel));
  }
}

function restoreOf(saved: unknown): CompressionRestore {
  const field = (name: keyof CompressionRestore): string => {
    const value: unknown = typeof saved === 'object' && saved !== null && Reflect.get(saved, name);
    if (typeof value !== 'string') {
      throw new Error('The panel kept no model.');
    }
    return value;
  };
  return { model: field('model'), file: field('file') };
}
