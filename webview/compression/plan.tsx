import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { distanceLabel, memoryContext } from '../../extension/core/quality-labels';
import { glossary } from '../../extension/core/glossary';
import { plannedSublayers } from '../../extension/protocol/compression';
import type { MadePlan, ShownTable } from '../../extension/protocol/compression';
import { Button } from '../components/controls';
import { Tile } from '../components/facts';
import { formatCount, formatDistance, formatShare } from '../format';
import { countMatrices, countSchemes, formatAmount } from './budget';
import { reasonAgainst } from './frame';
import { strings } from './strings';
import { named, tell } from '../translate';
import type { CompressionPanel } from './compression-panel';

interface PlanProps {
  readonly panel: CompressionPanel;
  readonly plan: MadePlan;
  readonly table: ShownTable;
}

/** Result of a plan: its sizes, its cost, and its actions. */
export function Plan({ panel, plan, table }: PlanProps): VNode {
  const { result, ...choice } = plan;
  const { distance, tried = [], limits } = result;
  const { removed, widthPruned } = plannedSublayers(result);
  const reason = useComputed(() => reasonAgainst(panel)).value;
  const context = formatCount(plan.context ?? memoryContext(table.model));
  return (
    <>
      <h3>
        {strings.planOf(
          limits.map(({ unit, most, before }) =>
            strings.limitOf(formatShare(most / before), strings.unitName(unit, context)),
          ),
        )}
      </h3>
      <dl class="tiles">
        {limits.map(({ unit, cost, before }) => (
          <Tile
            key={unit}
            name={limits.length === 1 ? strings.cost : strings.leftOf(strings.limitName[unit])}
            value={formatShare(cost / before)}
            note={strings.costNote(formatAmount(unit, cost), formatAmount(unit, before))}
          />
        ))}
        {distance === undefined ? (
          <Tile
            name={strings.predicted}
            value={formatDistance(result.sumOfDistances)}
            note={strings.predictedNote}
            meaning={tell(glossary.predictedDistance)}
          />
        ) : (
          <Tile
            name={strings.measured}
            value={formatDistance(distance - table.original)}
            note={judged(table.metric, distance, strings.measuredNote(formatCount(tried.length)))}
            meaning={tell(glossary.measuredDistance)}
          />
        )}
        <Tile
          name={strings.changed}
          value={formatCount(result.compress.length)}
          note={strings.ofTotal(formatCount(countMatrices(plan, table)))}
        />
        {choice.removes && (
          <Tile
            name={strings.removed}
            value={formatCount(removed)}
            note={strings.ofTotal(formatCount(panel.get('model').sublayers.length))}
          />
        )}
        {widthPruned > 0 && (
          <Tile
            name={strings.widthPruned}
            value={formatCount(widthPruned)}
            note={strings.ofTotal(formatCount(panel.get('model').sublayers.length))}
          />
        )}
      </dl>
      <p class="muted">
        {countSchemes(plan)
          .map(({ scheme, count }) => strings.countOf(formatCount(count), strings.scheme(scheme)))
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
        {distance === undefined && (
          <Button
            label={strings.measurePlan}
            title={strings.measurePlanTitle}
            reason={reason}
            onClick={() => {
              panel.run.plan(choice);
            }}
          />
        )}
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

/** A note with a rating of the distance, if its metric has one: `small: measured, after 3 plans`. */
function judged(metric: string, distance: number, note: string): string {
  const word = distanceLabel(metric, distance);
  return word === undefined ? note : named(tell(word), note);
}
