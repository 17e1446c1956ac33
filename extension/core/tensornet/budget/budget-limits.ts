import { formatBytes, formatCount } from '../../format';
import { kvCacheBytes, memoryAt } from '../../models/model-summary';
import type { KvCosts, ModelSummary, SublayerSummary } from '../../models/model-summary';
import { parseMemorySize } from '../../runtime/memory-size';
import { UserError } from '../../user-error';
import { allMatrices } from '../sensitivity/sensitivity-profile';
import type {
  MatrixSensitivity,
  SensitivityProfile,
  TokenTimes,
} from '../sensitivity/sensitivity-profile';
import { say } from '../../message';

/**
 * Units of a limit. Bytes and parameters count all tensors; memory is bytes plus the KV cache of a context; FLOPs are
 * per token in the sublayers. `decode` and `prefill` are milliseconds per generated token and per prompt token: of
 * linear layers without convolutions, or of the whole model if the profile has timed it. The head counts if the profile
 * has measured it or timed the model.
 */
export const budgetUnits = ['bytes', 'parameters', 'memory', 'flops', 'decode', 'prefill'] as const;
export type BudgetUnit = (typeof budgetUnits)[number];

/** True for units in milliseconds. */
export const isTimeUnit = (unit: BudgetUnit): unit is 'decode' | 'prefill' =>
  unit === 'decode' || unit === 'prefill';

/** True for units that count the work of a token instead of storage. */
export const isWorkUnit = (unit: BudgetUnit): boolean => unit === 'flops' || isTimeUnit(unit);

/** True for units that count stored bytes. */
export const isStoredBytes = (unit: BudgetUnit | undefined): boolean =>
  unit === 'bytes' || unit === 'memory';

/** Upper limit: a share of the original model, in (0, 1), or an amount in the unit. */
export type BudgetLimit = ShareLimit | AmountLimit;

export interface ShareLimit extends NamedLimit {
  readonly ratio: number;
}

interface AmountLimit extends NamedLimit {
  readonly most: number;
}

interface NamedLimit {
  readonly unit: BudgetUnit;
  /** Request field that contains it; the budget by default. */
  readonly field?: 'limits';
}

/** Limits that apply together, and the context length for memory; {@link memoryContext} by default. */
export interface Budget {
  readonly limits: readonly BudgetLimit[];
  readonly context?: number | undefined;
}

/** Units that a profile can count: times are 0 if unknown, and memory equals bytes if nothing is cached. */
export function countedUnits(
  table: Pick<SensitivityProfile, 'layers' | 'embeddingAndHead' | 'model'>,
): BudgetUnit[] {
  const isTimed = allMatrices(table).some(({ decodeMsPerToken }) => decodeMsPerToken > 0);
  const isCached = table.model.sublayers.some(({ kvBytesPerToken }) => kvBytesPerToken > 0);
  const isCounted: Partial<Record<BudgetUnit, boolean>> = {
    decode: isTimed,
    prefill: isTimed,
    memory: isCached,
  };
  return budgetUnits.filter((unit) => isCounted[unit] !== false);
}

/** Syntax of limits: a unit, and a share of the model or an amount. */
export const limitSyntax = {
  pattern:
    /^(?:(?:bytes|memory)<\d+(?:\.\d+)?(?:%|[kmgt]?i?b?)|(?:parameters|flops)<\d+(?:\.\d+)?[kmgt%]?|(?:decode|prefill)<\d+(?:\.\d+)?%?)$/i,
  takes: say`limits such as ${'memory<2GB'}, ${'bytes<50%'}, ${'parameters<100M'} or ${'decode<20'}`,
};

/**
 * Parses a limit that matches {@link limitSyntax}.
 * @throws UserError if a percentage isn't between 0 and 100
 */
export function parseLimit(text: string): BudgetLimit {
  const [name = '', amount = ''] = text.split('<');
  const unit = budgetUnits.find((one) => one === name.toLowerCase()) ?? 'bytes';
  if (!amount.endsWith('%')) {
    const most = isTimeUnit(unit) ? Number(amount) : (parseMemorySize(amount) ?? 0);
    return { unit, most, field: 'limits' };
  }
  const ratio = Number.parseFloat(amount) / 100;
  if (!isShare(ratio)) {
    throw new UserError(
      'limit-invalid',
      say`${text} is not a share of the model above 0 % and below 100 %.`,
      { field: 'limits', remedy: say`For half of it, write ${`${unit}<50%`}.` },
    );
  }
  return { unit, ratio, field: 'limits' };
}

/** Formats a limit so that {@link parseLimit} can read it. */
export function formatLimit(limit: BudgetLimit): string {
  const amount = 'ratio' in limit ? `${decimal(100 * limit.ratio)}%` : decimal(limit.most);
  return `${limit.unit}<${amount}`;
}

/** Formats without an exponent, which the syntax doesn't allow. */
const decimal = (value: number): string => value.toFixed(6).replace(/\.?0+$/, '');

/** True if a share is neither 0 nor the whole model. */
export const isShare = (ratio: number): boolean => ratio > 0 && ratio < 1;

type Counted = Pick<MatrixSensitivity, 'bytes' | 'parameters' | 'flopsPerToken' | keyof TokenTimes>;

/** Cost of a matrix, or of anything with the same kinds of costs, in each unit. */
export const unitCosts: Readonly<Record<BudgetUnit, (costs: Counted) => number>> = {
  bytes: ({ bytes }) => bytes,
  parameters: ({ parameters }) => parameters,
  memory: ({ bytes }) => bytes,
  flops: ({ flopsPerToken }) => flopsPerToken,
  decode: ({ decodeMsPerToken }) => decodeMsPerToken,
  prefill: ({ prefillMsPerToken }) => prefillMsPerToken,
};

/** Cost of a sublayer's KV cache. */
export function cacheCost(unit: BudgetUnit, costs: KvCosts, context: number): number {
  return unit === 'memory' ? kvCacheBytes(costs, context) : 0;
}

/** Costs of parts that aren't timed. */
export const noWork = { flopsPerToken: 0, decodeMsPerToken: 0, prefillMsPerToken: 0 } as const;

/** Cost of a sublayer without its KV cache; 0 for times, which are counted by layers and by runs of the whole model. */
export function ownCost(unit: BudgetUnit, sublayer: SublayerSummary): number {
  return unitCosts[unit]({ ...noWork, ...sublayer });
}

/**
 * Cost of a whole model. `linear` is the cost of all matrices of its sublayers, `embeddingAndHead` of the embedding and head, and
 * `rest` of everything else.
 */
export function wholeCost(
  unit: BudgetUnit,
  model: ModelSummary,
  context: number,
  {
    linear,
    embeddingAndHead,
    rest,
  }: Readonly<Record<'linear' | 'embeddingAndHead' | 'rest', number>>,
): number {
  switch (unit) {
    case 'bytes':
    case 'parameters':
      return model[unit];
    case 'memory':
      return memoryAt(model, context);
    case 'flops':
      return model.sublayers.reduce(
        (sum, { flopsPerToken }) => sum + flopsPerToken,
        embeddingAndHead,
      );
    case 'decode':
    case 'prefill':
      return linear + embeddingAndHead + rest;
  }
}

/** Largest cost that a limit allows for a model of cost `whole`. */
export function maxCost(limit: BudgetLimit, whole: number): number {
  return 'ratio' in limit ? limit.ratio * whole : limit.most;
}

/** Formats an amount: `1.20 GiB`, `3.42 M`, `20.0 ms`. */
export function formatAmount(unit: BudgetUnit, amount: number): string {
  switch (unit) {
    case 'bytes':
    case 'memory':
      return formatBytes(amount);
    case 'parameters':
    case 'flops':
      return formatCount(amount);
    case 'decode':
    case 'prefill':
      return `${amount.toPrecision(3)} ms`;
  }
}
