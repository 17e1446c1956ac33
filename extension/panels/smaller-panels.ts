import { parse } from 'valibot';
import type { Uri, WebviewPanel } from 'vscode';
import { smallerModelSchema } from '../protocol/smaller';
import type { SmallerModel } from '../protocol/smaller';
import type { ReportStore } from '../services/reports/report-store';
import { SmallerSession } from '../services/sessions/smaller-session';
import { newTab, Panels, requireSavedText } from './panels';
import { SessionPanel } from './session-panel';
import { smallerPanel } from './smaller-panel';
import type { SmallerPanel } from './smaller-panel';

/** The open reports of smaller models. */
export class SmallerPanels extends Panels<SmallerSession, SmallerPanel> {
  readonly #store: ReportStore;

  public constructor(extension: Uri, store: ReportStore) {
    super(extension);
    this.#store = store;
  }

  /** Shows a report, and keeps it for later windows if the disk allows. */
  public show(smaller: SmallerModel): void {
    void this.#store.save(storeKey(smaller.path), JSON.stringify(smaller)).catch(() => undefined);
    this.#show(smaller);
  }

  /** Shows the report of a folder again; false if it is no longer kept. */
  public async reopen(folder: string): Promise<boolean> {
    const text = await this.#store.load(storeKey(folder));
    if (text === undefined) {
      return false;
    }
    this.#show(parse(smallerModelSchema, JSON.parse(text)));
    return true;
  }

  #show(smaller: SmallerModel): void {
    const session = new SmallerSession(smaller);
    const open = this.panels.find((panel) => panel.session.smaller.path === smaller.path);
    if (open === undefined) {
      const tab = newTab(smallerPanel, smallerPanel.titleOf(session), smaller.path);
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

const storeKey = (folder: string): string => `smaller ${folder}`;
