import { ViewColumn } from 'vscode';
import type { Uri, WebviewPanel } from 'vscode';
import type { ModelSession } from '../services/sessions/model-session';
import type { ModelSessions } from '../services/sessions/model-sessions';
import type { Heatmaps } from '../services/services';
import { heatmapPanel } from './heatmap-panel';
import type { HeatmapPanel } from './heatmap-panel';
import { newTab, Panels, requireSavedText, savedText } from './panels';
import { SessionPanel } from './session-panel';

/** The open heatmap panels: one for each session, and the custom editors. */
export class HeatmapPanels extends Panels<ModelSession, HeatmapPanel> implements Heatmaps {
  readonly #sessions: ModelSessions;

  public constructor(extension: Uri, sessions: ModelSessions) {
    super(extension, heatmapPanel);
    this.#sessions = sessions;
  }

  /** A new tab opens beside the file that is being looked at. */
  public show(session: ModelSession): void {
    const open = this.panels.find((panel) => panel.session.profilePath === session.profilePath);
    if (open === undefined) {
      const title = heatmapPanel.titleOf(session);
      this.fill(newTab(heatmapPanel, title, ViewColumn.Beside), session);
    } else {
      open.show(session);
    }
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public fill(panel: WebviewPanel, session: ModelSession): void {
    this.keep(new SessionPanel(panel, this.extension, heatmapPanel, session));
  }

  protected async restore(panel: WebviewPanel, saved: unknown): Promise<void> {
    const model = requireSavedText(saved, 'model');
    this.fill(panel, await this.#sessions.open(model, savedText(saved, 'profileFile')));
  }
}
