import { parse } from 'valibot';
import type { Uri, WebviewPanel } from 'vscode';
import { reportSchema } from '../protocol/report';
import type { ReportPage } from '../protocol/report';
import type { ReportStore } from '../services/reports/report-store';
import { ReportSession } from '../services/sessions/report-session';
import { newTab, Panels, requireSavedText } from './panels';
import { reportPanel } from './report-panel';
import type { ReportPanel } from './report-panel';
import { SessionPanel } from './session-panel';

/** The open reports of results. */
export class ReportPanels extends Panels<ReportSession, ReportPanel> {
  readonly #store: ReportStore;

  public constructor(extension: Uri, store: ReportStore) {
    super(extension);
    this.#store = store;
  }

  /** Shows a report, and keeps it for later windows if the disk allows. */
  public show(report: ReportPage): void {
    void this.#store.save(storeKey(report.key), JSON.stringify(report)).catch(() => undefined);
    this.#show(report);
  }

  /** True if the report of a key is visible. */
  public isVisible(key: string): boolean {
    return this.panels.some(({ session, visible }) => visible && session.report.key === key);
  }

  /** Shows a report again; false if it is no longer kept. */
  public async reopen(key: string): Promise<boolean> {
    const text = await this.#store.load(storeKey(key));
    if (text === undefined) {
      return false;
    }
    this.#show(parse(reportSchema, JSON.parse(text)));
    return true;
  }

  #show(report: ReportPage): void {
    const session = new ReportSession(report);
    const open = this.panels.find((panel) => panel.session.report.key === report.key);
    if (open === undefined) {
      const tab = newTab(reportPanel, reportPanel.getTitle(session), report.subject.output);
      this.keep(new SessionPanel(tab, this.extension, reportPanel, session));
    } else {
      open.show(session);
    }
  }

  protected restore(panel: WebviewPanel, saved: unknown): void {
    const report = parse(reportSchema, JSON.parse(requireSavedText(saved, 'report')));
    this.keep(new SessionPanel(panel, this.extension, reportPanel, new ReportSession(report)));
  }
}

const storeKey = (key: string): string => `report ${key}`;
