import { extname } from 'node:path';
import { commands, l10n, Uri } from 'vscode';
import { jobDocument } from '../services/jobs/panel-job';
import type { JobRecord } from '../services/jobs/job-record';
import { getOperation } from '../services/jobs/operations';
import { reportKey } from '../services/reports/report-key';
import type { Action } from '../services/offer';
import type { Services } from '../services/services';
import { openPage } from './open-result';
import { revealFolder } from './questions/choose-output';
import { useForCalibration } from './score-text';

/** Opens the report of a job, its output, or the panel that follows it. */
export async function openResult(services: Services, job: JobRecord): Promise<void> {
  const { opens, panel, nextSteps } = getOperation(job.operation);
  if (nextSteps !== undefined && (await services.resultReports.reopen(reportKey(job)))) {
    return;
  }
  const [path] = job.outputs;
  if (panel !== undefined && (opens === undefined || opens === 'writtenModel')) {
    await services.jobPanels[panel].open(job.model, jobDocument(job));
  } else if (path !== undefined) {
    await openFile(Uri.file(path), opens);
  }
}

/** Opens the output of a job; a folder, or a file that no editor shows, in the Explorer. */
async function openFile(file: Uri, opens: ReturnType<typeof getOperation>['opens']): Promise<void> {
  if (opens === 'report') {
    await openPage(file);
  } else if (opens === 'folder' || (opens === undefined && extname(file.path) === '')) {
    await revealFolder(file);
  } else {
    await commands.executeCommand('vscode.open', file);
  }
}

/** The button of the notification of a finished job. Everything else is in its report, which stays. */
export function noticeAction(services: Services, job: JobRecord): Action | undefined {
  const { notice, nextSteps, panel } = getOperation(job.operation);
  const [path] = job.outputs;
  if (path !== undefined && notice === 'calibrate') {
    return [l10n.t('Use for Calibration'), () => useForCalibration(path)];
  }
  return path === undefined && nextSteps === undefined && panel === undefined
    ? undefined
    : [l10n.t('Show'), async () => openResult(services, job)];
}
