import { parse } from 'valibot';
import type { Uri, WebviewPanel } from 'vscode';
import { smallerModelSchema } from '../protocol/smaller';
import type { SmallerModel } from '../protocol/smaller';
import { SmallerSession } from '../services/sessions/smaller-session';
import { newTab, Panels, requireSavedText } from './panels';
import { SessionPanel } from './session-panel';
import { smallerPanel } from './smaller-panel';
import type { SmallerPanel } from './smaller-panel';

/** The open reports of smaller models. */
export class SmallerPanels extends Panels<SmallerSession, SmallerPanel> {
  public constructor(extension: Uri) {
    super(extension);
  }

  public show(smaller: SmallerModel): void {
    const session = new SmallerSession(smaller);
    const open = this.panels.find((panel) => panel.session.smaller.path === smaller.path);
    if (open === undefined) {
      const tab = newTab(smallerPanel, smallerPanel.titleOf(session));
      this.keep(new SessionPanel(tab, this.extension, smallerPanel, session));
    } else {
      open.show(session);
    }
  }

  protected restore(panel: WebviewPanel, saved: unknown): void {
    const smaller = parse(smallerModelSchema, JSON.parse(requireSavedText(saved, 'smaller')));
    this.keep(new SessionPanel(panel, this.extension, smallerPanel, new SmallerSession(smaller)));
  }
}
