import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { Button, Checkbox, Dropdown } from '../components/controls';
import { Facts } from '../components/facts';
import { Slider } from '../components/slider';
import { Section } from '../components/section';
import { formatBytes, formatCount, formatDistance, formatShare } from '../format';
import {
  limitContext,
  listContexts,
  formatAmount,
  isPlanFor,
  isTime,
  leastBytes,
  leastPercent,
  withLimit,
  withSet,
} from './budget';
import type { BudgetForm } from './budget';
import { schemeKey } from './cells';
import type { PlannedFrame } from './frame';
import { reasonAgainst } from './frame';
import { Plan } from './plan';
import { strings } from './strings';
import { tell } from '../translate';
import { glossary } from '../../extension/core/glossary';
import type { BudgetChoice, ShownTable } from '../../extension/protocol/compression';
import type { CompressionPanel } from './compression-panel';
import type { AskedBudget } from './use-budget';

interface BudgetProps {
  readonly panel: CompressionPanel;
  readonly frame: PlannedFrame;
  readonly asked: AskedBudget;
}

/** Limits of a plan, and the plan: predicted as the form changes, or made. */
export function Budget({ panel, frame: { table, schemes }, asked }: BudgetProps): VNode {
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
      <Limits panel={panel} table={table} asked={asked} />
      <Changes panel={panel} table={table} schemes={schemes} />
      {isMade ? (
        <div class="made-plan">
          <Plan panel={panel} plan={plan} table={table} />
        </div>
      ) : (
        <>
          <Prediction plan={asked.plan} />
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
        </>
      )}
    </Section>
  );
}

function changer(panel: CompressionPanel) {
  return (part: Partial<BudgetForm>): void => {
    panel.setView({ form: { ...panel.view.peek().form, ...part } });
  };
}

interface LimitsProps {
  readonly panel: CompressionPanel;
  readonly table: ShownTable;
  readonly asked: AskedBudget;
}

/** Limits of the plan: which ones apply, and their values. */
function Limits({ panel, table, asked: { reach } }: LimitsProps): VNode {
  const { form } = panel.view.value;
  const context = limitContext(form, table);
  const change = changer(panel);
  const units = panel.get('units');
  const set = units.filter((unit) => form.limits[unit].isSet);
  const reached = set
    .filter((unit) => leastPercent(unit, reach) > 1)
    .map((unit) =>
      strings.limitOf(formatShare(leastPercent(unit, reach) / 100), strings.limitName[unit]),
    );
  return (
    <>
      <div class="choices" role="group" aria-label={strings.limits}>
        {units.map((unit) => (
          <Checkbox
            key={unit}
            label={strings.limitName[unit]}
            checked={form.limits[unit].isSet}
            onChange={(isSet) => {
              change(withSet(panel.view.peek().form, unit, isSet, reach));
            }}
          />
        ))}
        {form.limits.memory.isSet && units.includes('memory') && (
          <Dropdown
            label={strings.context}
            options={listContexts(table).map((tokens) => ({
              value: String(tokens),
              label: strings.tokens(formatCount(tokens)),
            }))}
            value={String(context)}
            onChange={(tokens) => {
              change({ context: Number(tokens) });
            }}
          />
        )}
      </div>
      <div class="limits">
        {set.map((unit) => {
          const least = Math.min(99, leastPercent(unit, reach));
          const percent = Math.max(least, form.limits[unit].percent);
          const before = reach?.find((one) => one.unit === unit)?.before;
          const share = formatShare(percent / 100);
          return (
            <Slider
              key={unit}
              id={`limit-${unit}`}
              label={strings.unitName(unit, formatCount(context))}
              least={least}
              most={99}
              value={percent}
              text={
                before === undefined
                  ? share
                  : strings.shareOf(share, formatAmount(unit, (percent / 100) * before))
              }
              onInput={(next) => {
                change(withLimit(panel.view.peek().form, unit, { percent: next }));
              }}
            />
          );
        })}
      </div>
      {reached.length > 0 && <p class="muted">{strings.least(reached)}</p>}
      {set.some((unit) => unit === 'flops' || isTime(unit)) && (
        <p class="muted">{strings.covers}</p>
      )}
    </>
  );
}

type ChangesProps = Pick<BudgetProps, 'panel'> & PlannedFrame;

/** Changes that a plan may make to the model. */
function Changes({ panel, table, schemes }: ChangesProps): VNode {
  const { form } = panel.view.value;
  const change = changer(panel);
  const removable = panel.get('removable');
  return (
    <>
      <div class="choices" role="group" aria-label={strings.allowed}>
        {schemes.map((scheme) => {
          const key = schemeKey(scheme);
          const others = form.without.filter((one) => one !== key);
          return (
            <Checkbox
              key={key}
              label={strings.schemeDownTo(scheme, formatBytes(leastBytes(table, scheme)))}
              checked={!form.without.includes(key)}
              onChange={(checked) => {
                change({ without: checked ? others : [...others, key] });
              }}
            />
          );
        })}
        {(table.embeddingAndHead ?? []).length > 0 && (
          <Checkbox
            label={strings.embeddingAndHeadToo}
            checked={form.embeddingAndHead}
            onChange={(embeddingAndHead) => {
              change({ embeddingAndHead });
            }}
          />
        )}
        {(table.widths ?? []).length > 0 && (
          <Checkbox
            label={strings.prunesWidths(formatCount((table.widths ?? []).length))}
            checked={form.prunesWidths}
            onChange={(prunesWidths) => {
              change({ prunesWidths });
            }}
          />
        )}
        {removable > 0 && (
          <Checkbox
            label={strings.removes(formatCount(removable))}
            checked={form.removes}
            onChange={(removes) => {
              change({ removes });
            }}
          />
        )}
      </div>
      {removable === 0 && <p class="muted">{strings.noRemovals}</p>}
    </>
  );
}

/** Prediction of the plan from single changes, updated with the form. */
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
          name: strings.leftOf(strings.limitName[unit].toLowerCase()),
          value: strings.shareOf(formatShare(cost / before), formatAmount(unit, cost)),
        })),
        ...counts
          .filter(({ count }) => count > 0)
          .map(({ name, count }) => ({ name, value: formatCount(count) })),
      ]}
    />
  );
}
