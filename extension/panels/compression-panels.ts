import type { Uri, WebviewPanel } from 'vscode';
import type { CompressionSession } from '../services/sessions/compression-session';
import type { CompressionSessions } from '../services/sessions/compression-sessions';
import type { Compressions } from '../services/services';
import { compressionPanel } from './compression-panel';
import type { CompressionPanel } from './compression-panel';
import { newTab, Panels, requireSavedText } from './panels';
import { SessionPanel } from './session-panel';

/** The open compression panels: one for each session, and the custom editors. */
export class CompressionPanels
  extends Panels<CompressionSession, CompressionPanel>
  implements Compressions
{
  readonly #sessions: CompressionSessions;

  public constructor(extension: Uri, sessions: CompressionSessions) {
    super(extension);
    this.#sessions = sessions;
  }

  /** @param left a tab that remains after a window reload */
  public show(session: CompressionSession, left?: WebviewPanel): void {
    const open = this.panels.find((panel) => panel.session.file === session.file);
    if (open === undefined) {
      this.fill(
        left ?? newTab(compressionPanel, compressionPanel.getTitle(session), session.model.path),
        session,
      );
    } else {
      left?.dispose();
      open.show(session);
    }
  }

  /** Fills a webview that VS Code has made for a custom editor. */
  public fill(panel: WebviewPanel, session: CompressionSession): void {
    this.keep(new SessionPanel(panel, this.extension, compressionPanel, session));
  }

  protected async restore(panel: WebviewPanel, saved: unknown): Promise<void> {
    const [model, file] = [requireSavedText(saved, 'model'), requireSavedText(saved, 'file')];
    this.show(await this.#sessions.open(model, file), panel);
  }
}
