import type { VNode } from 'preact';
import type { MadePlan, ShownTable } from '../../extension/protocol/compression';
import { Button } from '../components/controls';
import { Tile } from '../components/facts';
import { formatBytes, formatCompact, formatCount, formatDistance, formatPercent } from '../format';
import { countOf, countsOf } from './budget';
import { reasonAgainst } from './frame';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';
import type { BudgetUnit } from './types';

interface PlanProps {
  readonly panel: CompressionPanel;
  readonly plan: MadePlan;
  readonly table: ShownTable;
}

/** What a plan leaves, what it costs, and what can be done with it. */
export function Plan({ panel, plan, table }: PlanProps): VNode {
  const { budget, result, removes } = plan;
  const reason = reasonAgainst(panel);
  return (
    <>
      <h3>{strings.planOf(formatPercent(budget.ratio), strings.units[budget.unit])}</h3>
      <dl class="tiles">
        <Tile
          name={strings.cost}
          value={formatPercent(result.cost / result.costBefore)}
          note={strings.costNote(
            formatCost(result.cost, budget.unit),
            formatCost(result.costBefore, budget.unit),
          )}
        />
        <Tile
          name={strings.predicted}
          value={formatDistance(result.sumOfDistances)}
          note={strings.predictedNote}
        />
        <Tile
          name={strings.measured}
          value={formatDistance(result.distance - table.original)}
          note={strings.measuredNote(formatCount(result.tried.length))}
        />
        <Tile
          name={strings.changed}
          value={formatCount(result.compress.length)}
          note={strings.ofTotal(formatCount(countOf(plan, table)))}
        />
        {removes && (
          <Tile
            name={strings.removed}
            value={formatCount(result.remove.length)}
            note={strings.ofTotal(formatCount(panel.get('model').sublayers.length))}
          />
        )}
        {result.narrow.length > 0 && (
          <Tile
            name={strings.narrowed}
            value={formatCount(result.narrow.length)}
            note={strings.ofTotal(formatCount(panel.get('model').sublayers.length))}
          />
        )}
      </dl>
      <p class="muted">
        {countsOf(plan)
          .map(({ way, count }) => strings.countOf(formatCount(count), strings.way(way)))
          .join(' · ')}
      </p>
      <div class="actions">
        <Button
          primary
          label={strings.applyPlan}
          title={strings.applyPlanTitle}
          reason={reason}
          onClick={panel.run.compress}
        />
        <Button
          label={strings.savePlan}
          title={strings.savePlanTitle}
          onClick={panel.run.savePlan}
        />
        <Button
          label={strings.forgetPlan}
          title={strings.forgetPlanTitle}
          reason={reason}
          onClick={panel.run.forgetPlan}
        />
      </div>
    </>
  );
}

function formatCost(value: number, unit: BudgetUnit): string {
  switch (unit) {
    case 'bytes':
    case 'memory':
      return formatBytes(value);
    case 'milliseconds':
      return strings.milli(formatDistance(value));
    case 'parameters':
    case 'flops':
      return formatCompact(value);
  }
}
