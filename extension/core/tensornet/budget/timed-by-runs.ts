import type { SublayerSummary } from '../../models/model-summary';
import { timedAs, timedOne } from '../sensitivity/run-change';
import type {
  LayerSensitivity,
  RunTimes,
  SensitivityEntry,
  SensitivityProfile,
  TokenTimes,
} from '../sensitivity/sensitivity-profile';
import { isTime } from './budget-limits';
import type { BudgetUnit } from './budget-limits';

/** A table whose times are those of whole runs, where it has any. */
export interface TimedTable {
  /** Of a sublayer all that it takes: norms and attention itself too, which go with it and narrow with it. */
  readonly layers: readonly LayerSensitivity[];
  /** What a sublayer takes besides its layers where it has so much of its width: all of it where it has no layers. */
  readonly besides: (unit: BudgetUnit, sublayer: SublayerSummary, share: number) => number;
  /** What the model takes besides all layers and matrices of the table. */
  readonly rest: (unit: BudgetUnit) => number;
}

/**
 * Times of single products don't add up to those of a token: they miss what is done between them, and weights that lie in
 * the processor's caches. So a sublayer takes what the model saves without all of its kind, its layers by what their
 * products take; and what all layers save in one encoding is shared out by these too.
 */
export function timedByRuns(table: SensitivityProfile): TimedTable {
  const { layers, runs } = table;
  if (runs === undefined) {
    return { layers, besides: () => 0, rest: () => 0 };
  }
  const costs = {
    decode: runCosts(table, runs, 'decodeMsPerToken'),
    prefill: runCosts(table, runs, 'prefillMsPerToken'),
  };
  return {
    layers: layers.map((layer) => ({
      ...layer,
      decodeMsPerToken: costs.decode.layer(layer),
      prefillMsPerToken: costs.prefill.layer(layer),
      entries: layer.entries.map((entry) => ({
        ...entry,
        decodeMsPerToken: costs.decode.entry(layer, entry),
        prefillMsPerToken: costs.prefill.entry(layer, entry),
      })),
    })),
    besides: (unit, sublayer, share) => (isTime(unit) ? costs[unit].besides(sublayer, share) : 0),
    rest: (unit) => (isTime(unit) ? costs[unit].rest : 0),
  };
}

/** Milliseconds of one kind: of a token that is generated, or of one that is read. */
interface RunCosts {
  readonly layer: (layer: LayerSensitivity) => number;
  readonly entry: (layer: LayerSensitivity, entry: SensitivityEntry) => number;
  readonly besides: (sublayer: SublayerSummary, share: number) => number;
  readonly rest: number;
}

function runCosts(
  { model: { sublayers }, layers, outer = [], widths = [] }: SensitivityProfile,
  { whole, changed }: RunTimes,
  key: keyof TokenTimes,
): RunCosts {
  const sum = (times: readonly TokenTimes[]): number =>
    times.reduce((total, one) => total + one[key], 0);
  const savedBy = (run: TokenTimes): number => whole[key] - run[key];
  const products = new Map<string, number>();
  for (const layer of layers) {
    products.set(layer.sublayer, (products.get(layer.sublayer) ?? 0) + layer[key]);
  }
  const productsOf = (id: string): number => products.get(id) ?? 0;
  const shares = new Map<string, number>();
  for (const run of changed) {
    const alike = sublayers.filter(({ kind }) => run.change === 'without' && run.kind === kind);
    const all = alike.reduce((total, { id }) => total + productsOf(id), 0);
    const isKnown = alike.every(({ id }) => productsOf(id) > 0);
    for (const { id } of alike) {
      const share = isKnown ? productsOf(id) / all : 1 / alike.length;
      shares.set(id, share * Math.max(0, savedBy(run)));
    }
  }
  const inAll = [...shares.values()].reduce((total, time) => total + time, 0);
  const most = Math.max(0, whole[key] - sum(outer));
  // Without all of a kind the others may lie in the processor's caches, and kinds seem to take more than the whole.
  const scale = inAll > most ? most / inAll : 1;
  const timeOf = (id: string): number => scale * (shares.get(id) ?? 0);

  const layerTime = (layer: LayerSensitivity): number =>
    productsOf(layer.sublayer) > 0
      ? (timeOf(layer.sublayer) * layer[key]) / productsOf(layer.sublayer)
      : 0;
  /** What a way of compressing saves of each millisecond of products. */
  const savings = new Map(
    changed.flatMap((run) => {
      if (run.change !== 'compressed') {
        return [];
      }
      const dense = sum(layers.filter(({ entries }) => timedOne(entries, run.as) !== undefined));
      return dense > 0 ? [[run.as, savedBy(run) / dense]] : [];
    }),
  );
  const entryTime = (layer: LayerSensitivity, entry: SensitivityEntry): number => {
    const as = timedAs(entry);
    const saving = savings.get(as);
    const by =
      saving === undefined
        ? layer[key] - entry[key]
        : // Levels differ by what their products take.
          saving * layer[key] + (timedOne(layer.entries, as)?.[key] ?? 0) - entry[key];
    return Math.max(0, layerTime(layer) - by);
  };
  /** What is saved of what would be were a sublayer's time in proportion to its width. */
  const paid = new Map(
    changed.flatMap((run) => {
      if (run.change !== 'narrowed') {
        return [];
      }
      const inProportion = widths.reduce((total, { of, sublayer, count, entries }) => {
        const least = entries.at(-1)?.kept ?? count;
        return of === run.of ? total + (1 - least / count) * timeOf(sublayer) : total;
      }, 0);
      const share = savedBy(run) / inProportion;
      return inProportion > 0 ? [[run.of, Math.min(1, Math.max(0, share))]] : [];
    }),
  );
  const hasProducts = (id: string): boolean => productsOf(id) > 0;
  const kinds = new Map(widths.map(({ sublayer, of }) => [sublayer, of]));
  return {
    layer: layerTime,
    entry: entryTime,
    besides: ({ id }, share) => {
      if (!hasProducts(id)) {
        return timeOf(id);
      }
      const of = kinds.get(id);
      const stays = 1 - ((of === undefined ? undefined : paid.get(of)) ?? 1);
      return stays * (1 - share) * timeOf(id);
    },
    rest: most - sublayers.reduce((total, { id }) => total + (hasProducts(id) ? timeOf(id) : 0), 0),
  };
}
