import { basename } from 'node:path';
import { l10n } from 'vscode';
import type { ApplyResult } from '../../core/operations/apply-plan';
import { evaluatedNames } from '../../core/operations/evaluation-outcome';
import type { OpenModels } from '../documents/open-models';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { localise } from '../localise';
import { pruneReport } from './model-report';
import { patchReport } from './patch-report';
import { repairReport } from './repair-report';
import type { Reports } from './reports';
import { taskReport } from './task-report';

/** Opens a report of each job whose result is more than a sentence. */
export function reportResults(jobs: JobService, reports: Reports, models: OpenModels): void {
  const showWritten = async (
    result: ApplyResult,
    { request: { model = '' } }: JobRecord<'prune' | 'compress' | 'convert'>,
  ): Promise<void> => {
    const text = pruneReport(await models.summary(model), result);
    await reports.showText(basename(result.path), result.path, text);
  };
  jobs.follow('prune', { done: showWritten });
  jobs.follow('compress', { done: showWritten });
  jobs.follow('convert', { done: showWritten });
  jobs.follow('repair', {
    done: async (result, { name }) => {
      const { written } = result;
      if (written !== null) {
        const text = repairReport(name, result, written);
        await reports.showText(basename(written.path), written.path, text);
      }
    },
  });
  jobs.follow('patch', {
    done: async (result, { name, request }) => {
      const title = l10n.t('{0}, patch for {1}', name, result.sublayer);
      const key = `${request.out} ${result.sublayer}`;
      await reports.showText(title, key, patchReport(name, result));
    },
  });
  jobs.follow('evaluate', {
    done: async (result, job) => {
      if ('task' in result) {
        const { model = '', shots = 0 } = job.request;
        const names = evaluatedNames(job);
        const title = l10n.t('{0} on {1}', localise(names.name), result.task);
        await reports.showText(title, `${model} ${result.task}`, taskReport(result, names, shots));
      }
    },
  });
}
