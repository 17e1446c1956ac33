import type { ReportPage, ReportState } from '../../protocol/report';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';

/** Report of a result. */
export class ReportSession extends PanelSession<ReportState> {
  protected readonly parts: Parts<ReportState> = { report: () => this.report };

  public constructor(public readonly report: ReportPage) {
    super();
  }
}
