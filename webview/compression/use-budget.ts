import { useComputed } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import type {
  BudgetChoice,
  BudgetSurvey,
  CompressionState,
  PredictedPlan,
} from '../../extension/protocol/compression';
import type { Answered } from '../kit/asker';
import { useAnswer } from '../kit/use-answer';
import { formChoice, withinReach } from './budget';
import type { BudgetForm } from './budget';
import type { CompressionPanel } from './compression-panel';
import { resumesMeasuring } from './frame';
import type { PlannedFrame } from './frame';

/** Request of the form, and the host's answers. */
export interface AskedBudget {
  readonly choice: BudgetChoice | undefined;
  /** Minimum of each unit without the other limits; undefined until known. */
  readonly reach: BudgetSurvey['reach'] | undefined;
  readonly survey: Told<BudgetSurvey>;
  readonly plan: Told<PredictedPlan>;
}

type Told<Answer> = Answered<BudgetChoice | undefined, Answer | undefined> | undefined;

/** Asks again whenever the form or what was measured changes; the answers before stand meanwhile. */
export function useBudget(
  panel: CompressionPanel,
  form: BudgetForm,
  { table, schemes }: PlannedFrame,
): AskedBudget {
  const [units, removable] = [panel.get('units'), panel.get('removable')];
  // The host reads the document, which is written at the end.
  const isWritten = useComputed(() => !isMeasuring(panel.get('job'))).value;
  const wished = useMemo(
    () => (isWritten ? formChoice(form, { table, schemes, units, removable }) : undefined),
    [form, table, schemes, units, removable, isWritten],
  );
  const survey = async (one: BudgetChoice | undefined): Promise<BudgetSurvey | undefined> =>
    one && panel.call.survey(one);
  // Limits that no plan meets together do not hide the reach of each one.
  const alone = useAnswer(survey, useSteady(wished && anySize(singled(wished)), table));
  const reach = alone?.ok?.reach;
  const choice = useMemo(() => wished && withinReach(wished, reach), [wished, reach]);
  const isSingle = choice?.limits.length === 1;
  const sizes = useSteady(choice === undefined || isSingle ? undefined : anySize(choice), table);
  const together = useAnswer(survey, sizes);
  return {
    ...{ choice, reach, survey: isSingle ? alone : together },
    plan: useAnswer(async (one) => one && panel.call.predict(one), choice),
  };
}

/** The same object as long as the request and the table do not change. */
function useSteady<Value>(value: Value, table: object): Value {
  return useMemo(() => value, [JSON.stringify(value), table]);
}

/** The choice with one of its limits: that of memory, to which its context belongs, or else the first. */
function singled(choice: BudgetChoice): BudgetChoice {
  const { limits } = choice;
  const one = limits.find(({ unit }) => unit === 'memory') ?? limits[0];
  return { ...choice, limits: one === undefined ? [] : [one] };
}

/** True if layers are being measured, or that was stopped. */
export function isMeasuring(job: CompressionState['job']): boolean {
  const isActive = job.kind === 'running' || job.kind === 'queued';
  return (isActive && job.makesDocument) || resumesMeasuring(job);
}

/** The choice with its first limit set to the size of the original. */
function anySize(choice: BudgetChoice): BudgetChoice {
  const [first, ...others] = choice.limits;
  return { ...choice, limits: [{ unit: first?.unit ?? 'bytes', ratio: 1 }, ...others] };
}
