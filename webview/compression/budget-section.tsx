import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { Button } from '../components/controls';
import { Facts } from '../components/facts';
import { Section } from '../components/section';
import { formatCount, formatDistance, formatShare } from '../format';
import { formatAmount, isPlanFor } from './budget';
import type { PlannedFrame } from './frame';
import { reasonAgainst } from './frame';
import { Plan } from './plan';
import { strings } from './strings';
import { tell } from '../translate';
import { glossary } from '../../extension/core/glossary';
import type { BudgetChoice } from '../../extension/protocol/compression';
import type { CompressionPanel } from './compression-panel';
import type { AskedBudget } from './use-budget';

interface BudgetProps {
  readonly panel: CompressionPanel;
  readonly frame: PlannedFrame;
  readonly asked: AskedBudget;
}

/** The plan: predicted as its limits change, or made. */
export function Budget({ panel, frame: { table }, asked }: BudgetProps): VNode {
  const plan = panel.get('plan');
  const { choice } = asked;
  const reason = choice === undefined ? strings.reasonNothing : asked.plan?.error;
  const against = useComputed(() => reasonAgainst(panel)).value;
  const isMade = plan !== undefined && (choice === undefined || isPlanFor(plan, choice, table));
  const ask = (run: (asked: BudgetChoice) => void): void => {
    if (choice === undefined) return;
    panel.setView({ shown: 'plan' });
    run(choice);
  };
  return (
    <Section class="budget" id="budget-title" title={strings.budget}>
      {isMade ? (
        <div class="made-plan">
          <Plan panel={panel} plan={plan} table={table} />
        </div>
      ) : (
        <>
          <Prediction plan={asked.plan} />
          {panel.get('canPlan') ? (
            <div class="actions">
              <Button
                primary
                label={strings.applyPlan}
                title={strings.applyPlanTitle}
                reason={against ?? reason}
                onClick={() => {
                  ask(panel.run.apply);
                }}
              />
              <Button
                label={strings.measurePlan}
                title={strings.measurePlanTitle}
                reason={against ?? reason}
                onClick={() => {
                  ask(panel.run.plan);
                }}
              />
            </div>
          ) : (
            <MakeSmaller panel={panel} asked={asked} />
          )}
        </>
      )}
    </Section>
  );
}

/** Button for a model whose types are chosen when it is made: a GGUF file. */
function MakeSmaller({ panel, asked }: Pick<BudgetProps, 'panel' | 'asked'>): VNode {
  const [size] = (asked.choice?.limits ?? []).flatMap((limit) =>
    limit.unit === 'bytes' && 'ratio' in limit ? [`${Math.round(100 * limit.ratio)}%`] : [],
  );
  return (
    <div class="actions">
      <Button
        primary
        label={strings.makeSmaller}
        title={strings.makeSmallerTitle}
        reason={size === undefined ? strings.reasonNothing : asked.plan?.error}
        onClick={() => {
          if (size !== undefined) panel.run.makeSmaller(size);
        }}
      />
    </div>
  );
}

/** Plan as predicted from single changes. */
function Prediction({ plan }: Pick<AskedBudget, 'plan'>): VNode {
  if (plan?.error !== undefined) return <p class="prediction">{plan.error}</p>;
  if (plan?.ok === undefined) return <p class="prediction muted">{strings.noPrediction}</p>;
  const { limits, sumOfDistances, compressed, removed, widthPruned } = plan.ok;
  const counts = [
    { name: strings.changed, count: compressed },
    { name: strings.removed, count: removed },
    { name: strings.widthPruned, count: widthPruned },
  ];
  return (
    <Facts
      class="prediction"
      facts={[
        {
          name: strings.predicted,
          value: formatDistance(sumOfDistances),
          title: tell(glossary.predictedDistance),
        },
        ...limits.map(({ unit, cost, before }) => ({
          name: strings.leftOf(strings.limitName[unit]),
          value: strings.shareOf(formatShare(cost / before), formatAmount(unit, cost)),
        })),
        ...counts
          .filter(({ count }) => count > 0)
          .map(({ name, count }) => ({ name, value: formatCount(count) })),
      ]}
    />
  );
}
