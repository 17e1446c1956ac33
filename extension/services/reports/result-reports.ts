import { isFitted } from '../../core/operations/fit-model';
import type { FitResult } from '../../core/operations/fit-model';
import type { Evaluated } from '../../core/operations/evaluate';
import { evaluatedNames } from '../../core/operations/evaluation-outcome';
import type { ReportKind } from '../../core/operations/presentation';
import type { Repaired } from '../../core/operations/repair';
import type { PatchResult } from '../../core/pipelines/patching/patch-model';
import type { ReportPage } from '../../protocol/report';
import { listMenuWords } from '../documents/model-context';
import type { MenuWord } from '../documents/model-context';
import type { OpenModels } from '../documents/open-models';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { ableSteps } from '../jobs/able-steps';
import { offerStep, stepSubject } from '../jobs/next-steps';
import { getOperation, operations } from '../jobs/operations';
import type { RequestOf } from '../jobs/operations';
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

/** Content of a report, and the path of the model that was written, if any. */
interface ResultPage {
  readonly content: PageContent;
  readonly output?: string | undefined;
}

/** Creates the report of a result; undefined if there is nothing to report. */
type PageMaker<Result> = (
  result: Result,
  job: JobRecord,
  models: OpenModels,
) => Promise<ResultPage | undefined> | ResultPage | undefined;

/** Result types by report kind. */
interface ReportedResults {
  applied: ApplyResult;
  fitted: FitResult;
  repaired: Repaired;
  patched: PatchResult<ApplyResult>;
  evaluated: Evaluated;
}

const pages: { readonly [Kind in ReportKind]: PageMaker<ReportedResults[Kind]> } = {
  applied: async (result, { model }, models) => ({
    content: appliedPage(await models.summary(model), result),
    output: result.path,
  }),
  fitted: (result) =>
    isFitted(result) ? { content: fittedPage(result), output: result.path } : undefined,
  repaired: (result) => {
    const { written } = result;
    return written === null
      ? undefined
      : { content: repairedPage(result, written), output: written.path };
  },
  patched: (result, job) => ({ content: patchedPage(job, result), output: result.written?.path }),
  evaluated: (result, job) => {
    const request = job.request as RequestOf<'evaluate'>;
    const { model, plan, against, shots = 0 } = request;
    // A heatmap shows the rest of a model.
    if (model === undefined || plan !== undefined) {
      return undefined;
    }
    const paths = { model, ...(against === undefined ? {} : { against }) };
    return {
      content:
        'task' in result
          ? taskPage(result, paths, evaluatedNames({ ...job, request }), shots)
          : evaluationPage(result, paths),
    };
  },
};

/** Opens the reports of results that operations declare. */
export function reportResults(jobs: JobService, reports: ShownReports, models: OpenModels): void {
  for (const operation of operations) {
    const { report } = getOperation(operation);
    if (report !== undefined) {
      const makePage = pages[report] as PageMaker<unknown>;
      jobs.follow(operation, {
        isShown: (job) => reports.isVisible(reportKey(job)),
        done: async (result, job) => {
          const page = await makePage(result, job, models);
          if (page !== undefined) {
            reports.show(await completePage(page, job, models));
          }
        },
      });
    }
  }
}

async function completePage(
  { content, output }: ResultPage,
  job: JobRecord,
  models: OpenModels,
): Promise<ReportPage> {
  const outputs = output === undefined ? [] : [output];
  const subject = await stepSubject({ ...job, outputs });
  const steps = getOperation(job.operation).nextSteps?.(job.request) ?? [];
  const able = ableSteps(steps, await menuWords(models, subject.model));
  return {
    notices: [],
    ...content,
    key: reportKey(job),
    subject,
    steps: able.map((id) => {
      const { label, title } = offerStep(id, subject);
      return { id, label, title };
    }),
  };
}

/** Abilities of a model; empty if it no longer exists. */
async function menuWords(models: OpenModels, path: string): Promise<readonly MenuWord[]> {
  try {
    return listMenuWords((await models.inspect(path)).capabilities);
  } catch {
    return [];
  }
}
