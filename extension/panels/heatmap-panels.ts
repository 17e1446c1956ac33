import type { Uri, WebviewPanel } from 'vscode';
import type { ModelSession } from '../services/model-session';
import type { ModelSessions } from '../services/model-sessions';
import type { Heatmaps } from '../services/services';
import { HeatmapPanel } from './heatmap-panel';
import { Panels, requireSavedText, savedText } from './panels';

/** The open heatmap panels: one for each session, and the custom editors. */
export class HeatmapPanels extends Panels<ModelSession, HeatmapPanel> implements Heatmaps {
  readonly #sessions: ModelSessions;

  public constructor(extension: Uri, sessions: ModelSessions) {
    super(extension, HeatmapPanel.kind);
    this.#sessions = sessions;
  }

  public show(session: ModelSession): void {
    const open = this.panels.find((panel) => panel.session.profilePath === session.profilePath);
    if (open === undefined) {
      this.keep(HeatmapPanel.create(this.extension, session));
    } else {
      open.show(session);
    }
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public fill(panel: WebviewPanel, session: ModelSession): void {
    this.keep(new HeatmapPanel(panel, this.extension, session));
  }

  protected async restore(panel: WebviewPanel, saved: unknown): Promise<void> {
    const model = requireSavedText(saved, 'model');
    this.fill(panel, await this.#sessions.open(model, savedText(saved, 'profileFile')));
  }
}
