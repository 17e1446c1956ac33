import { isFitted } from '../../core/operations/fit-model';
import { evaluatedNames } from '../../core/operations/evaluation-outcome';
import type { ReportPage } from '../../protocol/report';
import { listMenuWords } from '../documents/model-context';
import type { MenuWord } from '../documents/model-context';
import type { OpenModels } from '../documents/open-models';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { ableSteps } from '../jobs/able-steps';
import { offerStep, stepSubject } from '../jobs/next-steps';
import { getOperation } from '../jobs/operations';
import type { ApplyResult } from '../../core/operations/apply-plan';
import type { PageContent } from './page';
import { appliedPage } from './pages/applied-page';
import { evaluationPage, taskPage } from './pages/evaluation-page';
import { fittedPage } from './pages/fitted-page';
import { patchedPage } from './pages/patched-page';
import { repairedPage } from './pages/repaired-page';
import { reportKey } from './report-key';

/** Panels of reports. */
interface ShownReports {
  readonly show: (report: ReportPage) => void;
  /** True if the report of a key is visible. */
  readonly isVisible: (key: string) => boolean;
}

/** Opens a report of each job that has made or evaluated a model. */
export function reportResults(jobs: JobService, reports: ShownReports, models: OpenModels): void {
  const show = async (job: JobRecord, content: PageContent, output?: string): Promise<void> => {
    const outputs = output === undefined ? [] : [output];
    const subject = await stepSubject({ ...job, outputs });
    const steps = getOperation(job.operation).nextSteps?.(job.request) ?? [];
    const able = ableSteps(steps, await menuWords(models, subject.model));
    reports.show({
      notices: [],
      ...content,
      key: reportKey(job),
      subject,
      steps: able.map((id) => {
        const { label, title } = offerStep(id, subject);
        return { id, label, title };
      }),
    });
  };
  const showApplied = async (
    result: ApplyResult,
    job: JobRecord<'prune' | 'compress' | 'convert'>,
  ): Promise<void> => {
    const { model = '' } = job.request;
    await show(job, appliedPage(await models.summary(model), result), result.path);
  };
  jobs.follow('prune', { done: showApplied });
  jobs.follow('compress', { done: showApplied });
  jobs.follow('convert', { done: showApplied });
  jobs.follow('fit', {
    isShown: (job) => reports.isVisible(reportKey(job)),
    done: async (result, job) => {
      if (isFitted(result)) {
        await show(job, fittedPage(result), result.path);
      }
    },
  });
  jobs.follow('repair', {
    done: async (result, job) => {
      const { written } = result;
      if (written !== null) {
        await show(job, repairedPage(result, written), written.path);
      }
    },
  });
  jobs.follow('patch', {
    done: async (result, job) => {
      await show(job, patchedPage(job, result), result.written?.path);
    },
  });
  jobs.follow('evaluate', {
    done: async (result, job) => {
      const { model, plan, against, shots = 0 } = job.request;
      // A heatmap shows what is left of a model.
      if (model === undefined || plan !== undefined) {
        return;
      }
      const paths = { model, ...(against === undefined ? {} : { against }) };
      await show(
        job,
        'task' in result
          ? taskPage(result, paths, evaluatedNames(job), shots)
          : evaluationPage(result, paths),
      );
    },
  });
}

/** Abilities of a model; empty if it no longer exists. */
async function menuWords(models: OpenModels, path: string): Promise<readonly MenuWord[]> {
  try {
    return listMenuWords((await models.inspect(path)).capabilities);
  } catch {
    return [];
  }
}
