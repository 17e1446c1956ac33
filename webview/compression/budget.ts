import type { BudgetChoice, MadePlan, ShownTable } from '../../extension/protocol/compression';
import { wayKey } from './cells';
import type { BudgetUnit, Entry, Matrix, Way } from './types';

export const budgetUnits = ['bytes', 'parameters', 'memory', 'flops', 'milliseconds'] as const;
/** Tokens of context that the host counts memory at. */
const context = 4096;

/** What the form of the budget says. */
export interface BudgetForm {
  readonly unit: BudgetUnit;
  /** Of the whole model, that may be left. */
  readonly percent: number;
  /** Ways that are left out, by their keys. */
  readonly without: readonly string[];
  readonly removes: boolean;
  /** Whether embedding and head may be compressed. */
  readonly outer: boolean;
}

export const initialForm: BudgetForm = {
  unit: 'bytes',
  percent: 50,
  without: [],
  removes: false,
  outer: true,
};

/** Units that the table can count: times are zero where none are known, and memory is bytes where nothing is cached. */
export function unitsOf({ layers, model }: ShownTable): BudgetUnit[] {
  const isTimed = layers.some(({ milliseconds }) => milliseconds > 0);
  const isCached = model.sublayers.some(({ kvBytesPerToken }) => kvBytesPerToken > 0);
  const unknown = [...(isTimed ? [] : ['milliseconds']), ...(isCached ? [] : ['memory'])];
  return budgetUnits.filter((unit) => !unknown.includes(unit));
}

const costOf: Readonly<Record<BudgetUnit, (costs: Matrix | Entry) => number>> = {
  bytes: ({ bytes }) => bytes,
  parameters: ({ parameters }) => parameters,
  memory: ({ bytes }) => bytes,
  flops: ({ flopsPerToken }) => flopsPerToken,
  milliseconds: ({ milliseconds }) => milliseconds,
};

/** The least percent of the whole model that the ways which are allowed can leave, rounded up. */
export function leastPercent(table: ShownTable, form: BudgetForm): number {
  const { unit, without, removes } = form;
  if (removes) return 1;
  const cost = costOf[unit];
  const outer = form.outer ? (table.outer ?? []) : [];
  const leastOf = (matrix: Matrix, allows: (entry: Entry) => boolean = () => true): number =>
    Math.min(
      cost(matrix),
      ...matrix.entries
        .filter((entry) => !without.includes(wayKey(entry)) && allows(entry))
        .map(cost),
    );
  const shares = narrowestOf(table);
  const saved = table.model.sublayers.reduce(
    (sum, { id, kvBytesPerToken }) => {
      const layers = table.layers.filter(({ sublayer }) => sublayer === id);
      const cache = unit === 'memory' ? context * kvBytesPerToken : 0;
      const narrower = sumOf(layers, (layer) => leastOf(layer, isQuantized)) + cache;
      const share = shares.get(id);
      const least = Math.min(
        sumOf(layers, leastOf) + cache,
        ...(share === undefined ? [] : [share * narrower]),
      );
      return sum + sumOf(layers, cost) + cache - least;
    },
    sumOf(outer, cost) - sumOf(outer, leastOf),
  );
  const whole = wholeOf(table, unit, sumOf([...table.layers, ...outer], cost), sumOf(outer, cost));
  return whole === 0 ? 100 : Math.min(100, Math.ceil((100 * (whole - saved)) / whole));
}

/** Layers of a narrower sublayer are kept or quantized. */
const isQuantized = ({ method }: Entry): boolean => method === 'int8' || method === 'int4';

/** The least share of its width that each sublayer was measured at. */
function narrowestOf({ widths = [] }: ShownTable): ReadonlyMap<string, number> {
  return new Map(
    widths.flatMap(({ sublayer, count, entries }) =>
      entries.length === 0
        ? []
        : [[sublayer, Math.min(...entries.map(({ kept }) => kept)) / count] as const],
    ),
  );
}

function sumOf<M extends Matrix>(matrices: readonly M[], cost: (matrix: M) => number): number {
  return matrices.reduce((sum, matrix) => sum + cost(matrix), 0);
}

/** All that a budget counts; of FLOPs and milliseconds the head where it takes part. */
function wholeOf({ model }: ShownTable, unit: BudgetUnit, linear: number, outer: number): number {
  switch (unit) {
    case 'bytes':
    case 'parameters':
      return model[unit];
    case 'memory':
      return model.sublayers.reduce(
        (sum, { kvBytesPerToken }) => sum + context * kvBytesPerToken,
        model.bytes,
      );
    case 'flops':
      return model.sublayers.reduce((sum, { flopsPerToken }) => sum + flopsPerToken, outer);
    case 'milliseconds':
      return linear;
  }
}

/** What the form asks the host for. */
export function choiceOf(table: ShownTable, ways: readonly Way[], form: BudgetForm): BudgetChoice {
  const percent = Math.min(99, Math.max(form.percent, leastPercent(table, form)));
  return {
    budget: { unit: form.unit, ratio: percent / 100 },
    ways: ways.filter((way) => !form.without.includes(wayKey(way))),
    removes: form.removes,
    outer: form.outer && table.outer !== undefined,
  };
}

/** Of how many matrices a plan chose; one that is embedding and head is compressed as two. */
export function countOf(
  { outer: takesPart }: MadePlan,
  { layers, outer = [] }: ShownTable,
): number {
  const outside = outer.reduce((sum, { tiedTo }) => sum + (tiedTo === undefined ? 1 : 2), 0);
  return layers.length + (takesPart ? outside : 0);
}

/** How many layers a plan compresses in each way. */
export function countsOf({ result }: MadePlan): { way: Way; count: number }[] {
  const counts = new Map<string, { way: Way; count: number }>();
  for (const choice of result.compress) {
    const key = wayKey(choice);
    counts.set(key, { way: choice, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()].sort((a, b) => b.count - a.count);
}
