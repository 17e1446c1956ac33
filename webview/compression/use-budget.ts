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
import { choiceOf } from './budget';
import type { BudgetForm } from './budget';
import type { CompressionPanel } from './compression-panel';
import { resumesMeasuring } from './frame';
import type { PlannedFrame } from './frame';

/** What the form asks for, and what the host says to it. */
export interface AskedBudget {
  readonly choice: BudgetChoice | undefined;
  readonly survey: Told<BudgetSurvey>;
  readonly plan: Told<PredictedPlan>;
}

type Told<Answer> = Answered<BudgetChoice | undefined, Answer | undefined> | undefined;

/** Asks again whenever the form or what was measured changes; the answers before stand meanwhile. */
export function useBudget(
  panel: CompressionPanel,
  form: BudgetForm,
  { table, ways }: PlannedFrame,
): AskedBudget {
  const [units, removable] = [panel.get('units'), panel.get('removable')];
  // The host reads the document, which is written at the end.
  const isWritten = useComputed(() => !isMeasuring(panel.get('job'))).value;
  const choice = useMemo(
    () => (isWritten ? choiceOf(form, { table, ways, units, removable }) : undefined),
    [form, table, ways, units, removable, isWritten],
  );
  const key = JSON.stringify(choice && anySize(choice));
  const sizes = useMemo(() => choice && anySize(choice), [key, table]);
  return {
    choice,
    survey: useAnswer(async (one) => one && panel.call.survey(one), sizes),
    plan: useAnswer(async (one) => one && panel.call.predict(one), choice),
  };
}

function isMeasuring(job: CompressionState['job']): boolean {
  const isActive = job.kind === 'running' || job.kind === 'queued';
  return (isActive && job.what === 'sensitivity') || resumesMeasuring(job);
}

/** The choice whatever its first limit allows. */
function anySize(choice: BudgetChoice): BudgetChoice {
  const [first, ...others] = choice.limits;
  return { ...choice, limits: [{ unit: first?.unit ?? 'bytes', ratio: 1 }, ...others] };
}
