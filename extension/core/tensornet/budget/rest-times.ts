import type { SublayerSummary } from '../../models/model-summary';
import type { SensitivityProfile } from '../sensitivity/sensitivity-profile';
import { costOf, isTime, noWork } from './budget-limits';
import type { BudgetUnit } from './budget-limits';
import { sumOf } from './narrower-states';

/** What a token takes besides the matrices of a table. */
export interface RestTimes {
  /** Of a sublayer: norms, attention itself and layers that the table lacks. They go with it alone. */
  readonly of: (sublayer: SublayerSummary) => number;
  /** Of the whole model: that of all sublayers, and what is around them. */
  readonly whole: number;
}

/** By whole runs, where the table has some; of what is not timed, nothing. */
export function restTimes(
  { model, layers, outer = [], runs }: SensitivityProfile,
  unit: BudgetUnit,
): RestTimes {
  if (!isTime(unit) || runs === undefined) {
    return { of: () => 0, whole: 0 };
  }
  const timeOf = costOf[unit];
  const whole = timeOf({ ...nothing, ...runs.whole });
  const isListed = new Set(layers.map(({ sublayer }) => sublayer));
  const perKind = new Map(
    runs.without.map(({ kind, ...without }) => {
      const sublayers = model.sublayers.filter((one) => one.kind === kind);
      const listed = new Set(sublayers.flatMap(({ id }) => (isListed.has(id) ? id : [])));
      const own = sumOf(
        layers.filter(({ sublayer }) => listed.has(sublayer)),
        unit,
      );
      const all = whole - timeOf({ ...nothing, ...without });
      // Layers of blocks that the table lacks take about what those of the others do.
      const linear = own / Math.max(1, listed.size);
      const besides = Math.max(0, all / Math.max(1, sublayers.length) - linear);
      return [kind, { besides, linear }] as const;
    }),
  );
  const measured = ({ kind, id }: SublayerSummary): number => {
    const { besides, linear } = perKind.get(kind) ?? { besides: 0, linear: 0 };
    return besides + (isListed.has(id) ? 0 : linear);
  };
  const inSublayers = model.sublayers.reduce((sum, sublayer) => sum + measured(sublayer), 0);
  const left = Math.max(0, whole - sumOf(layers, unit) - sumOf(outer, unit));
  // Kinds that together take more than the whole were held up, or share what none of them needs alone.
  const scale = inSublayers > left ? left / inSublayers : 1;
  return { of: (sublayer) => scale * measured(sublayer), whole: left };
}

const nothing = { bytes: 0, parameters: 0, ...noWork } as const;
