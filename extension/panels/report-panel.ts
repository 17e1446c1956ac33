import { env, l10n } from 'vscode';
import { reportCalls } from '../protocol/report';
import type { ReportCalls, ReportState } from '../protocol/report';
import { panelViewTypes } from '../services/activation/panel-view-types';
import { offerStep } from '../services/jobs/next-steps';
import type { ReportSession } from '../services/sessions/report-session';
import { runCommand } from './session-panel';
import type { PanelDefinition, SessionPanel } from './session-panel';

export type ReportPanel = SessionPanel<ReportSession, ReportState, ReportCalls>;

/** Report of a result: output, quality, and next steps. */
export const reportPanel: PanelDefinition<ReportSession, ReportState, ReportCalls> = {
  name: 'report',
  viewType: panelViewTypes.report,
  getTitle: ({ report }) => l10n.t('Report: {0}', report.title),
  getRestore: ({ report }) => ({ report: JSON.stringify(report) }),
  calls: reportCalls,
  createHandlers: ({ report: { subject, sections, steps } }) => ({
    step: async (id) => {
      if (steps.some((step) => step.id === id)) {
        await runCommand(...offerStep(id, subject).command);
      }
    },
    copy: async (command) => {
      const isShown = sections.some(({ commands = [] }) =>
        commands.some((one) => one.command === command),
      );
      if (isShown) {
        await env.clipboard.writeText(command);
      }
    },
  }),
};
