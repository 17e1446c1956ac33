import type { Uri, WebviewPanel } from 'vscode';
import type { Syntheses } from '../services/services';
import type { SynthesisSession } from '../services/sessions/synthesis-session';
import type { SynthesisSessions } from '../services/sessions/synthesis-sessions';
import { newTab, Panels, requireSavedText } from './panels';
import { SessionPanel } from './session-panel';
import { symbolicPanel } from './symbolic-panel';
import type { SymbolicPanel } from './symbolic-panel';

/** The open panels of evolutions: tabs and custom editors. */
export class SymbolicPanels extends Panels<SynthesisSession, SymbolicPanel> implements Syntheses {
  readonly #sessions: SynthesisSessions;

  public constructor(extension: Uri, sessions: SynthesisSessions) {
    super(extension);
    this.#sessions = sessions;
  }

  public show(session: SynthesisSession): void {
    const open = this.panels.find((panel) => panel.session === session);
    if (open === undefined) {
      const tab = newTab(symbolicPanel, symbolicPanel.getTitle(session), session.file);
      this.keep(new SessionPanel(tab, this.extension, symbolicPanel, session));
    } else {
      open.show(session);
    }
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public async fill(panel: WebviewPanel, file: string): Promise<void> {
    const session = this.#sessions.get(file);
    this.keep(new SessionPanel(panel, this.extension, symbolicPanel, session));
    await session.open();
  }

  protected async restore(panel: WebviewPanel, saved: unknown): Promise<void> {
    const file = requireSavedText(saved, 'file');
    const session = this.#sessions.get(file);
    const open = this.panels.find((one) => one.session === session);
    if (open === undefined) {
      await this.fill(panel, file);
    } else {
      panel.dispose();
      open.show(session);
    }
  }
}
