import { ViewColumn, window } from 'vscode';
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
    super(extension);
    this.#sessions = sessions;
  }

  /**
   * A new tab opens with other heatmaps if there are any, next to the active text, or over another panel.
   * @param left a tab that remains after a window reload
   */
  public show(session: ModelSession, left?: WebviewPanel): void {
    const open = this.panels.find((panel) => panel.session.profilePath === session.profilePath);
    if (open === undefined) {
      const title = heatmapPanel.getTitle(session);
      this.fill(
        left ?? newTab(heatmapPanel, title, session.model.path, this.#siblingColumn()),
        session,
      );
    } else {
      left?.dispose();
      open.show(session);
    }
  }

  #siblingColumn(): ViewColumn {
    const here = window.tabGroups.activeTabGroup.viewColumn;
    // Covers another heatmap only if that one is visible.
    const isHeatmap = this.panels.some(({ active }) => active);
    const columns = this.panels.flatMap(({ viewColumn }) => viewColumn ?? []);
    const beside = window.activeTextEditor === undefined ? ViewColumn.Active : ViewColumn.Beside;
    return columns.find((column) => (column === here) === isHeatmap) ?? beside;
  }

  /** Fills a webview that VS Code has made for a custom editor. */
  public fill(panel: WebviewPanel, session: ModelSession): void {
    this.keep(new SessionPanel(panel, this.extension, heatmapPanel, session));
  }

  protected async restore(panel: WebviewPanel, saved: unknown): Promise<void> {
    const model = requireSavedText(saved, 'model');
    this.show(await this.#sessions.open(model, savedText(saved, 'profileFile')), panel);
  }
}
