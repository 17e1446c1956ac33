import { defaultContext } from '../../extension/core/quality-labels';
import type {
  BudgetChoice,
  BudgetSurvey,
  MadePlan,
  ShownTable,
} from '../../extension/protocol/compression';
import { formatBytes, formatCompact, formatTime } from '../format';
import { schemeKey } from './cells';
import type { BudgetUnit, CompressionScheme } from './types';

/** A limit as the form keeps it, set or not. */
export interface FormLimit {
  readonly isSet: boolean;
  /** Maximum size, in percent of the original. */
  readonly percent: number;
}

/** State of the budget form. */
export interface BudgetForm {
  readonly limits: Readonly<Record<BudgetUnit, FormLimit>>;
  /** Tokens that memory is counted at. */
  readonly context: number;
  /** Ways that are left out, by their keys. */
  readonly without: readonly string[];
  readonly removes: boolean;
  readonly prunesWidths: boolean;
  /** True if embedding and head may be compressed. */
  readonly embeddingAndHead: boolean;
}

/** Units that count milliseconds. */
export const isTime = (unit: BudgetUnit): boolean => unit === 'decode' || unit === 'prefill';

const unset: FormLimit = { isSet: false, percent: 50 };

export const initialForm: BudgetForm = {
  limits: {
    bytes: { ...unset, isSet: true },
    ...{ parameters: unset, memory: unset, flops: unset, decode: unset, prefill: unset },
  },
  context: defaultContext,
  without: [],
  removes: false,
  prunesWidths: true,
  embeddingAndHead: true,
};

const contexts = [1024, defaultContext, 8192, 32_768, 131_072] as const;

/** Context lengths to choose from, in tokens; the last is the model's maximum, if smaller. */
export const listContexts = ({ model: { maxPositions = Infinity } }: ShownTable): number[] => [
  ...new Set(contexts.map((tokens) => Math.min(tokens, maxPositions))),
];

/** Context length of the form, limited to the model's maximum. */
export const limitContext = (
  { context }: BudgetForm,
  { model: { maxPositions = Infinity } }: ShownTable,
): number => Math.min(context, maxPositions);

/** The form with another limit. */
export function withLimit(
  form: BudgetForm,
  unit: BudgetUnit,
  change: Partial<FormLimit>,
): BudgetForm {
  const { limits } = form;
  return { ...form, limits: { ...limits, [unit]: { ...limits[unit], ...change } } };
}

/** Difference of shares below which a plan is for the limit that the slider shows. */
const sameShare = 0.01;

/** True if a plan was made for a choice. Fields that mean nothing for the table are not compared. */
export function isPlanFor(
  { result, ...plan }: MadePlan,
  choice: BudgetChoice,
  { widths, embeddingAndHead }: ShownTable,
): boolean {
  const relevant = (one: BudgetChoice): string =>
    JSON.stringify([
      one.limits.map(({ unit }) => unit),
      one.schemes.map(schemeKey).sort(),
      one.removes,
      widths !== undefined && one.prunesWidths,
      embeddingAndHead !== undefined && one.embeddingAndHead,
      one.limits.some(({ unit }) => unit === 'memory') ? (one.context ?? defaultContext) : 0,
    ]);
  return (
    relevant(plan) === relevant(choice) &&
    choice.limits.every((limit) => {
      const planned = result.limits.find(({ unit }) => unit === limit.unit);
      const share = 'ratio' in limit ? limit.ratio : limit.most / (planned?.before ?? 1);
      return planned !== undefined && Math.abs(planned.most / planned.before - share) <= sameShare;
    })
  );
}

/** Bytes of the model with each layer in the smallest setting that was measured of a scheme. */
export function leastBytes(
  { model, layers, embeddingAndHead = [] }: ShownTable,
  scheme: CompressionScheme,
): number {
  const key = schemeKey(scheme);
  return [...layers, ...embeddingAndHead].reduce((bytes, layer) => {
    const sizes = layer.entries.filter((one) => schemeKey(one) === key).map((one) => one.bytes);
    return bytes - layer.bytes + Math.min(layer.bytes, ...sizes);
  }, model.bytes);
}

/** Minimum size in percent of the original, rounded up; 1 if unknown. */
export function leastPercent(unit: BudgetUnit, reach: BudgetSurvey['reach'] = []): number {
  const known = reach.find((one) => one.unit === unit);
  return known === undefined || known.before === 0
    ? 1
    : Math.max(1, Math.ceil((100 * known.least) / known.before));
}

/**
 * The form with a limit set or not. One that would be below what can be left begins halfway up from there: at its least
 * a plan does all the harm that it may.
 */
export function withSet(
  form: BudgetForm,
  unit: BudgetUnit,
  isSet: boolean,
  reach: BudgetSurvey['reach'] | undefined,
): BudgetForm {
  const least = leastPercent(unit, reach);
  const { percent } = form.limits[unit];
  const begins = isSet && percent < least ? Math.min(99, Math.round((least + 100) / 2)) : percent;
  return withLimit(form, unit, { isSet, percent: begins });
}

interface Known {
  readonly table: ShownTable;
  readonly schemes: readonly CompressionScheme[];
  /** Units that the table can count. */
  readonly units: readonly BudgetUnit[];
  /** Sublayers that may be removed. */
  readonly removable: number;
}

/** Request of the form; undefined if no limit is set, or nothing may change. */
export function formChoice(form: BudgetForm, known: Known): BudgetChoice | undefined {
  const { table, schemes, units, removable } = known;
  const limits = units
    .filter((unit) => form.limits[unit].isSet)
    .map((unit) => ({ unit, ratio: Math.min(99, form.limits[unit].percent) / 100 }));
  const choice: BudgetChoice = {
    limits,
    context: limitContext(form, table),
    schemes: schemes.filter((scheme) => !form.without.includes(schemeKey(scheme))),
    removes: form.removes && removable > 0,
    prunesWidths: form.prunesWidths && table.widths !== undefined,
    embeddingAndHead: form.embeddingAndHead && table.embeddingAndHead !== undefined,
  };
  const changes = choice.schemes.length > 0 || choice.removes || choice.prunesWidths;
  return limits.length > 0 && changes ? choice : undefined;
}

/** The choice with no limit below what can be left in its unit. */
export function withinReach(choice: BudgetChoice, reach: BudgetSurvey['reach'] = []): BudgetChoice {
  const limits = choice.limits.map((limit) => {
    const least = Math.min(99, leastPercent(limit.unit, reach)) / 100;
    return 'ratio' in limit ? { ...limit, ratio: Math.max(least, limit.ratio) } : limit;
  });
  return { ...choice, limits };
}

/** The choice of another size, in the unit of its first limit; a little more than it, which digits would cut off. */
export function choiceAt(choice: BudgetChoice, cost: number): BudgetChoice {
  const [first, ...others] = choice.limits;
  const unit = first?.unit ?? 'bytes';
  const most = isTime(unit) ? cost + 1e-6 : Math.ceil(cost);
  return { ...choice, limits: [{ unit, most }, ...others] };
}

/** @param like gives the unit of bytes, seconds or thousands, for numbers that stand together */
export function formatAmount(unit: BudgetUnit, value: number, like = value): string {
  switch (unit) {
    case 'bytes':
    case 'memory':
      return formatBytes(value, like);
    case 'decode':
    case 'prefill':
      return formatTime(value, like);
    case 'parameters':
    case 'flops':
      return formatCompact(value, like);
  }
}

/** Number of matrices that a plan chose from; tied embedding and head are compressed as two. */
export function countMatrices(
  { embeddingAndHead: takesPart }: MadePlan,
  { layers, embeddingAndHead = [] }: ShownTable,
): number {
  const outside = embeddingAndHead.reduce(
    (sum, { tiedTo }) => sum + (tiedTo === undefined ? 1 : 2),
    0,
  );
  return layers.length + (takesPart ? outside : 0);
}

/** Number of layers that a plan compresses with each scheme. */
export function countSchemes({ result }: MadePlan): { scheme: CompressionScheme; count: number }[] {
  const counts = new Map<string, { scheme: CompressionScheme; count: number }>();
  for (const choice of result.compress) {
    const key = schemeKey(choice);
    counts.set(key, { scheme: choice, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()].sort((a, b) => b.count - a.count);
}
