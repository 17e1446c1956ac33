import type { SublayerSummary } from '../../models/model-summary';
import { timingKey, timingRepresentative } from '../sensitivity/run-change';
import type {
  LayerSensitivity,
  RunTimes,
  SensitivityEntry,
  SensitivityProfile,
  TokenTimes,
} from '../sensitivity/sensitivity-profile';
import { isTimeUnit } from './budget-limits';
import type { BudgetUnit } from './budget-limits';

/** Times of a profile, measured by running the whole model if it has such times. */
export interface TimedTable {
  /**
   * Layers with the time of their sublayers, including norms and attention, which are removed and width-pruned with them.
   */
  readonly layers: readonly LayerSensitivity[];
  /** Time of a sublayer without its layers at a share of its width; the whole time if it has no layers. */
  readonly besides: (unit: BudgetUnit, sublayer: SublayerSummary, share: number) => number;
  /** Time of the model without all layers and matrices of the profile. */
  readonly rest: (unit: BudgetUnit) => number;
}

/**
 * Derives times from runs of the whole model. Times of single matmuls don't add up to the time of a token: they omit
 * other operators, and their weights may stay in the CPU caches. A sublayer gets the time saved by removing all
 * sublayers of its kind, split among its layers in proportion to their matmul times. The saving of an encoding is split
 * in the same way.
 */
export function timesFromRuns(table: SensitivityProfile): TimedTable {
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
    besides: (unit, sublayer, share) =>
      isTimeUnit(unit) ? costs[unit].besides(sublayer, share) : 0,
    rest: (unit) => (isTimeUnit(unit) ? costs[unit].rest : 0),
  };
}

/** Milliseconds of one kind: per generated token, or per prompt token. */
interface RunCosts {
  readonly layer: (layer: LayerSensitivity) => number;
  readonly entry: (layer: LayerSensitivity, entry: SensitivityEntry) => number;
  readonly besides: (sublayer: SublayerSummary, share: number) => number;
  readonly rest: number;
}

function runCosts(
  { model: { sublayers }, layers, embeddingAndHead = [], widths = [] }: SensitivityProfile,
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
  const matmulTime = (id: string): number => products.get(id) ?? 0;
  const shares = new Map<string, number>();
  for (const run of changed) {
    const alike = sublayers.filter(({ kind }) => run.change === 'without' && run.kind === kind);
    const all = alike.reduce((total, { id }) => total + matmulTime(id), 0);
    const isKnown = alike.every(({ id }) => matmulTime(id) > 0);
    for (const { id } of alike) {
      const share = isKnown ? matmulTime(id) / all : 1 / alike.length;
      shares.set(id, share * Math.max(0, savedBy(run)));
    }
  }
  const totalShare = [...shares.values()].reduce((total, time) => total + time, 0);
  const most = Math.max(0, whole[key] - sum(embeddingAndHead));
  // Without all sublayers of a kind the others may fit in the CPU caches, so kinds can add up to more than the whole.
  const scale = totalShare > most ? most / totalShare : 1;
  const sublayerTime = (id: string): number => scale * (shares.get(id) ?? 0);

  const layerTime = (layer: LayerSensitivity): number =>
    matmulTime(layer.sublayer) > 0
      ? (sublayerTime(layer.sublayer) * layer[key]) / matmulTime(layer.sublayer)
      : 0;
  /** Saving of an encoding per millisecond of matmul time. */
  const savings = new Map(
    changed.flatMap((run) => {
      if (run.change !== 'compressed') {
        return [];
      }
      const dense = sum(
        layers.filter(({ entries }) => timingRepresentative(entries, run.as) !== undefined),
      );
      return dense > 0 ? [[run.as, savedBy(run) / dense]] : [];
    }),
  );
  const entryTime = (layer: LayerSensitivity, entry: SensitivityEntry): number => {
    const as = timingKey(entry);
    const saving = savings.get(as);
    const by =
      saving === undefined
        ? layer[key] - entry[key]
        : // Settings differ by what their products take.
          saving * layer[key] + (timingRepresentative(layer.entries, as)?.[key] ?? 0) - entry[key];
    return Math.max(0, layerTime(layer) - by);
  };
  /** Ratio of the measured saving of width pruning to a saving in proportion to the width. */
  const paid = new Map(
    changed.flatMap((run) => {
      if (run.change !== 'width-pruned') {
        return [];
      }
      const proportionalSaving = widths.reduce((total, { of, sublayer, count, entries }) => {
        const least = entries.at(-1)?.kept ?? count;
        return of === run.of ? total + (1 - least / count) * sublayerTime(sublayer) : total;
      }, 0);
      const share = savedBy(run) / proportionalSaving;
      return proportionalSaving > 0 ? [[run.of, Math.min(1, Math.max(0, share))]] : [];
    }),
  );
  const hasProducts = (id: string): boolean => matmulTime(id) > 0;
  const kinds = new Map(widths.map(({ sublayer, of }) => [sublayer, of]));
  return {
    layer: layerTime,
    entry: entryTime,
    besides: ({ id }, share) => {
      if (!hasProducts(id)) {
        return sublayerTime(id);
      }
      const of = kinds.get(id);
      const stays = 1 - ((of === undefined ? undefined : paid.get(of)) ?? 1);
      return stays * (1 - share) * sublayerTime(id);
    },
    rest:
      most -
      sublayers.reduce((total, { id }) => total + (hasProducts(id) ? sublayerTime(id) : 0), 0),
  };
}
