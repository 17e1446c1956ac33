import type { EmbeddingOrHeadPlace } from '../../core/models/matrix-encoding';
import type { ModelSummary } from '../../core/models/model-summary';
import type { RequestOf } from '../../core/operations/fields';
import { pareto } from '../../core/operations/pareto';
import type { FrontPoint } from '../../core/operations/pareto';
import { planCompression } from '../../core/operations/plan-compression';
import { calibrationNames } from '../../core/operations/shared-fields';
import { formatLimit } from '../../core/tensornet/budget/budget-limits';
import type { CompressionPlan, RemovalCost } from '../../core/tensornet/budget/plan-under-budget';
import { formatCompression } from '../../core/tensornet/compression-choice';
import { UserError } from '../../core/user-error';
import { plannedSublayers } from '../../protocol/compression';
import type {
  BudgetChoice,
  BudgetSurvey,
  PredictedPlan,
  ShownTable,
} from '../../protocol/compression';
import type { PlannedSizes, PlanSize } from '../../protocol/frontier';
import type { QuestionRequests } from '../../core/operations/questions/questions';
import type { Settings } from '../settings';
import type { WorkerClient } from '../worker/worker-client';
import { defaultProfilePath } from './documents';

/** Model, profiles and tables to plan from. */
interface Subject {
  readonly model: ModelSummary;
  /** Path of the sensitivity profile. */
  readonly file: string;
  readonly table: Pick<ShownTable, 'embeddingAndHead'> | undefined;
  readonly removable: readonly RemovalCost[];
}

type PlanRequest = QuestionRequests['predictPlan'][0];
type FrontRequest = RequestOf<typeof pareto.fields>;

/** Plans under a budget from measured single changes. The inspector process computes them without running a model. */
export class BudgetPlans {
  public constructor(
    private readonly inspector: Pick<WorkerClient<QuestionRequests>, 'request'>,
    private readonly settings: Settings,
  ) {}

  /** Request for the worker to measure, or the inspector to predict. */
  public request(subject: Subject, choice: BudgetChoice): PlanRequest {
    const measured = choice.embeddingAndHead ? measuredPlaces(subject) : [];
    const measurements = { sensitivity: subject.file };
    const request = this.settings.request(
      planCompression,
      {
        ...measurements,
        ...allowedChanges(subject, choice),
        model: subject.model.path,
        limits: choice.limits.map(formatLimit),
        embeddings: measured.includes('embedding'),
        head: measured.includes('head'),
      },
      // It is measured on what the sensitivity profile was measured on.
      calibrationNames,
    );
    return { ...request, ...measurements };
  }

  /** Plans of all sizes in the first limit's unit, under the other limits. */
  public async survey(subject: Subject, choice: BudgetChoice): Promise<BudgetSurvey> {
    const { unit, reach, points } = await withoutField(
      this.inspector.request('front', this.frontRequest(subject, choice)),
    );
    return {
      ...{ unit, reach },
      points: points.map(surveyPoint),
    };
  }

  /** Plans of all sizes in bytes, with all changes that a sensitivity profile has measured. */
  public async surveyAll(sensitivity: string): Promise<PlannedSizes> {
    const request = this.settings.request(pareto, { sensitivity, unit: 'bytes' });
    const { metric, points } = await this.inspector.request('front', request);
    return { metric, points: points.map(surveyPoint) };
  }

  /** @param task what the models of the plans are run on, if any */
  public frontRequest(subject: Subject, choice: BudgetChoice, task?: string): FrontRequest {
    const [first, ...others] = choice.limits;
    return this.settings.request(pareto, {
      ...allowedChanges(subject, choice),
      sensitivity: subject.file,
      unit: first?.unit ?? 'bytes',
      limits: others.map(formatLimit),
      blocksOnly: !choice.embeddingAndHead,
      ...(task === undefined ? {} : { task, model: subject.model.path }),
    });
  }

  public async predict(subject: Subject, choice: BudgetChoice): Promise<PredictedPlan> {
    const plan = await withoutField(this.predictPlan(subject, choice));
    return { limits: plan.limits, ...planSize(plan) };
  }

  public async predictPlan(subject: Subject, choice: BudgetChoice): Promise<CompressionPlan> {
    return this.inspector.request('predictPlan', this.request(subject, choice));
  }
}

/** Removes the field name from errors about limits, because forms don't show field names. */
async function withoutField<Answer>(answer: Promise<Answer>): Promise<Answer> {
  return answer.catch((error: unknown) => {
    throw error instanceof UserError && error.subject.field === 'limits'
      ? new UserError(error.code, error.problem, { remedy: error.subject.remedy })
      : error;
  });
}

/** Allowed changes of a choice, as fields common to all requests. */
function allowedChanges({ model, removable }: Subject, choice: BudgetChoice) {
  const { limits, context, schemes, removes, prunesWidths } = choice;
  const countsMemory = limits.some(({ unit }) => unit === 'memory');
  return {
    methods: schemes.map(formatCompression),
    keepWidths: !prunesWidths,
    ...(countsMemory && context !== undefined ? { context } : {}),
    ...(removes && removable.length > 0 ? { profile: defaultProfilePath(model.path) } : {}),
  };
}

/** Matrices outside the blocks that a session's profile has measured. */
function measuredPlaces({ table }: Subject): EmbeddingOrHeadPlace[] {
  return (table?.embeddingAndHead ?? []).flatMap(({ place, tiedTo }) =>
    tiedTo === undefined ? [place] : ['embedding', 'head'],
  );
}

const surveyPoint = ({ cost, share, ...plan }: FrontPoint): BudgetSurvey['points'][number] => ({
  ...{ cost, share },
  ...planSize(plan),
});

function planSize({
  sumOfDistances,
  compress,
  remove,
  widths,
}: Pick<CompressionPlan, 'sumOfDistances' | 'compress' | 'remove' | 'widths'>): PlanSize {
  return { sumOfDistances, compressed: compress.length, ...plannedSublayers({ remove, widths }) };
}
