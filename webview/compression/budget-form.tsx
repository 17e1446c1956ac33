import type { VNode } from 'preact';
import { Button, Checkbox, Dropdown } from '../components/controls';
import { Slider } from '../components/slider';
import { formatCount, formatPercent } from '../format';
import { choiceOf, leastPercent, unitsOf } from './budget';
import type { BudgetForm } from './budget';
import { wayKey } from './cells';
import type { Frame } from './frame';
import { reasonAgainst } from './frame';
import { Plan } from './plan';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';

interface BudgetProps {
  readonly panel: CompressionPanel;
  readonly frame: Frame;
}

/** What a plan is made for, and what came of it. */
export function Budget({ panel, frame: { table, ways } }: BudgetProps): VNode {
  const removable = panel.get('removable');
  const plan = panel.get('plan');
  const { form } = panel.view.value;
  const asked = { ...form, removes: form.removes && removable > 0 };
  const reach = leastPercent(table, asked);
  const choice = choiceOf(table, ways, asked);
  const change = (part: Partial<BudgetForm>) => {
    panel.setView({ form: { ...panel.view.peek().form, ...part } });
  };
  const percent = Math.round(100 * choice.budget.ratio);
  return (
    <section class="budget" aria-labelledby="budget-title">
      <h2 id="budget-title">{strings.budget}</h2>
      <div class="choices">
        <span aria-hidden="true">{strings.unit}</span>
        <Dropdown
          label={strings.unit}
          options={unitsOf(table).map((value) => ({ value, label: strings.units[value] }))}
          value={form.unit}
          onChange={(unit) => {
            change({ unit });
          }}
        />
      </div>
      <Slider
        id="left"
        label={strings.left}
        least={Math.min(99, reach)}
        most={99}
        value={percent}
        text={formatPercent(percent / 100)}
        onInput={(next) => {
          change({ percent: next });
        }}
      />
      <p class="muted">{strings.covers(choice.budget.unit, choice.outer)}</p>
      {!form.removes && reach < 100 && (
        <p class="muted">{strings.least(formatPercent(reach / 100))}</p>
      )}
      <div class="choices" role="group" aria-label={strings.allowed}>
        {ways.map((way) => {
          const key = wayKey(way);
          const others = form.without.filter((one) => one !== key);
          return (
            <Checkbox
              key={key}
              label={strings.way(way)}
              checked={!form.without.includes(key)}
              onChange={(checked) => {
                change({ without: checked ? others : [...others, key] });
              }}
            />
          );
        })}
        {(table.outer ?? []).length > 0 && (
          <Checkbox
            label={strings.outerToo}
            checked={form.outer}
            onChange={(outer) => {
              change({ outer });
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
      <div class="actions">
        <Button
          primary={plan === undefined}
          label={strings.makePlan}
          title={strings.makePlanTitle}
          reason={
            reasonAgainst(panel) ??
            (choice.ways.length === 0
              ? strings.reasonNoWay
              : reach >= 100
                ? strings.reasonUnreachable
                : undefined)
          }
          onClick={() => {
            panel.setView({ shown: 'plan' });
            panel.run.plan(choice);
          }}
        />
      </div>
      <div class="made-plan" hidden={plan === undefined}>
        {plan !== undefined && <Plan panel={panel} plan={plan} table={table} />}
      </div>
    </section>
  );
}
