import { window } from 'vscode';
import type { Disposable, Uri, WebviewPanel, WebviewPanelSerializer } from 'vscode';
import type { HeatmapRestore } from '../protocol/heatmap';
import type { ModelSession } from '../services/model-session';
import type { ModelSessions } from '../services/model-sessions';
import { describeError } from '../services/report-error';
import type { Heatmaps } from '../services/services';
import { messageHtml } from './panel-html';
import { HeatmapPanel } from './heatmap-panel';

/** The open heatmap panels: one for each session, and the custom editors. */
export class HeatmapPanels implements Heatmaps, WebviewPanelSerializer, Disposable {
  readonly #extension: Uri;
  readonly #sessions: ModelSessions;
  readonly #panels = new Set<HeatmapPanel>();
  readonly #registration: Disposable;

  public constructor(extension: Uri, sessions: ModelSessions) {
    this.#extension = extension;
    this.#sessions = sessions;
    this.#registration = window.registerWebviewPanelSerializer(HeatmapPanel.viewType, this);
  }

  public get panels(): readonly HeatmapPanel[] {
    return [...this.#panels];
  }

  public get active(): ModelSession | undefined {
    return this.panels.find((panel) => panel.active)?.session;
  }

  public isShown(session: ModelSession): boolean {
    return this.panels.some((panel) => panel.visible && panel.session === session);
  }

  public show(session: ModelSession): void {
    const open = this.panels.find((panel) => panel.session.profilePath === session.profilePath);
    if (open === undefined) {
      this.#keep(HeatmapPanel.create(this.#extension, session));
    } else {
      open.reveal(session);
    }
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public fill(panel: WebviewPanel, session: ModelSession): void {
    this.#keep(new HeatmapPanel(panel, this.#extension, session));
  }

  public async deserializeWebviewPanel(panel: WebviewPanel, saved: unknown): Promise<void> {
    try {
      const { model, profileFile } = restoreOf(saved);
      this.fill(panel, await this.#sessions.open(model, profileFile));
    } catch (error) {
      panel.webview.html = messageHtml(panel.title, describeError(error));
    }
  }

  public dispose(): void {
    // The panels stay: closing them here would keep them from coming back after a reload.
    this.#registration.dispose();
  }

  #keep(panel: HeatmapPanel): void {
    this.#panels.add(panel);
    panel.onDidDispose(() => this.#panels.delete(panel));
  }
}

function restoreOf(saved: unknown): Pick<HeatmapRestore, 'model' | 'profileFile'> {
  const field = (name: string): string | undefined => {
    const value: unknown = typeof saved === 'object' && saved !== null && Reflect.get(saved, name);
    return typeof value === 'string' ? value : undefined;
  };
  const model = field('model');
  const profileFile = field('profileFile');
  if (model === undefined) {
    throw new Error('The panel kept no model.');
  }
  return profileFile === undefined ? { model } : { model, profileFile };
}
