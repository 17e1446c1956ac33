import type { VNode } from 'preact';
import type { ShownTable } from '../../extension/protocol/compression';
import { Checkbox, Dropdown } from '../components/controls';
import { Slider } from '../components/slider';
import { formatBytes, formatCount, formatShare } from '../format';
import {
  limitContext,
  listContexts,
  formatAmount,
  isTime,
  leastBytes,
  leastPercent,
  withLimit,
  withSet,
} from './budget';
import type { BudgetForm } from './budget';
import { schemeKey } from './cells';
import type { CompressionPanel } from './compression-panel';
import type { PlannedFrame } from './frame';
import { strings } from './strings';
import type { AskedBudget } from './use-budget';

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

/** Limits of the plan, with a slider for each except the one that the chart's line sets. */
export function Limits({ panel, table, asked: { reach, survey } }: LimitsProps): VNode {
  const { form } = panel.view.value;
  const context = limitContext(form, table);
  const change = changer(panel);
  const units = panel.get('units');
  const set = units.filter((unit) => form.limits[unit].isSet);
  const isCharted = (survey?.ok?.points.length ?? 0) > 0;
  const sliders = set.filter((unit) => !isCharted || unit !== survey?.ok?.unit);
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
        {sliders.map((unit) => {
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

interface ChangesProps extends PlannedFrame {
  readonly panel: CompressionPanel;
}

/** Changes that a plan may make. */
export function Changes({ panel, table, schemes }: ChangesProps): VNode {
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
