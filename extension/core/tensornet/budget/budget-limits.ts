import { formatBytes, formatCount } from '../../format';
import { memoryAt } from '../../models/model-summary';
import type { ModelSummary, SublayerSummary } from '../../models/model-summary';
import { parseMemorySize } from '../../runtime/memory-size';
import { UserError } from '../../user-error';
import { matricesOf } from '../sensitivity/sensitivity-profile';
import type {
  MatrixSensitivity,
  SensitivityProfile,
  TokenTimes,
} from '../sensitivity/sensitivity-profile';
import { say } from '../../message';

/**
 * What a limit counts. Bytes and parameters are of all tensors; memory is bytes with the keys and values of a
 * context; FLOPs are of one token in the sublayers. `decode` is the milliseconds of a token that is generated, and
 * `prefill` those of a token of a prompt: in linear layers but for convolutions, and in all else where the table has run
 * the whole model. The head counts where the table has measured it, or has run the model.
 */
export const budgetUnits = ['bytes', 'parameters', 'memory', 'flops', 'decode', 'prefill'] as const;
export type BudgetUnit = (typeof budgetUnits)[number];

/** Units that count milliseconds. */
export const isTime = (unit: BudgetUnit): unit is 'decode' | 'prefill' =>
  unit === 'decode' || unit === 'prefill';

/** Units that count what a token takes, not what is stored. */
export const isWork = (unit: BudgetUnit): boolean => unit === 'flops' || isTime(unit);

/** What may be left at most: a share of the whole model, in (0, 1), or an amount in the unit. */
export type BudgetLimit = ShareLimit | AmountLimit;

export interface ShareLimit extends NamedLimit {
  readonly ratio: number;
}

interface AmountLimit extends NamedLimit {
  readonly most: number;
}

interface NamedLimit {
  readonly unit: BudgetUnit;
  /** The field of a request that it stands in; the budget when absent. */
  readonly field?: 'limits';
}

/** Limits that hold together, and the tokens of context that memory is counted at: see {@link memoryContext} if absent. */
export interface Budget {
  readonly limits: readonly BudgetLimit[];
  readonly context?: number | undefined;
}

/** The units that a table can count: times are zero where none are known, and memory is bytes where nothing is cached. */
export function countedUnits(
  table: Pick<SensitivityProfile, 'layers' | 'outer' | 'model'>,
): BudgetUnit[] {
  const isTimed = matricesOf(table).some(({ decodeMsPerToken }) => decodeMsPerToken > 0);
  const isCached = table.model.sublayers.some(({ kvBytesPerToken }) => kvBytesPerToken > 0);
  const isCounted: Partial<Record<BudgetUnit, boolean>> = {
    decode: isTimed,
    prefill: isTimed,
    memory: isCached,
  };
  return budgetUnits.filter((unit) => isCounted[unit] !== false);
}

/** One limit by itself. */
export const onlyLimit = (limit: BudgetLimit): Budget => ({ limits: [limit] });

/** How limits are written: what is counted, and a share of the model or an amount. */
export const limitForm = {
  pattern:
    /^(?:(?:bytes|memory)<\d+(?:\.\d+)?(?:%|[kmgt]?i?b?)|(?:parameters|flops)<\d+(?:\.\d+)?[kmgt%]?|(?:decode|prefill)<\d+(?:\.\d+)?%?)$/i,
  takes: say`limits such as ${'memory<2GB'}, ${'bytes<50%'}, ${'parameters<100M'} or ${'decode<20'}`,
};

/**
 * A limit that {@link limitForm} is true of.
 * @throws UserError where a percentage is no part of the model.
 */
export function parseLimit(text: string): BudgetLimit {
  const [name = '', amount = ''] = text.split('<');
  const unit = budgetUnits.find((one) => one === name.toLowerCase()) ?? 'bytes';
  if (!amount.endsWith('%')) {
    const most = isTime(unit) ? Number(amount) : (parseMemorySize(amount) ?? 0);
    return { unit, most, field: 'limits' };
  }
  const ratio = Number.parseFloat(amount) / 100;
  if (!isShare(ratio)) {
    throw new UserError(say`${text} is not a share of the model above 0 % and below 100 %.`, {
      field: 'limits',
      remedy: say`Write ${`${unit}<50%`} for half of it.`,
    });
  }
  return { unit, ratio, field: 'limits' };
}

/** A limit as {@link parseLimit} reads it. */
export function formatLimit(limit: BudgetLimit): string {
  const amount = 'ratio' in limit ? `${decimal(100 * limit.ratio)}%` : decimal(limit.most);
  return `${limit.unit}<${amount}`;
}

/** Without an exponent, which limits do not have. */
const decimal = (value: number): string => value.toFixed(6).replace(/\.?0+$/, '');

/** Whether so much of a model is neither nothing nor all of it. */
export const isShare = (ratio: number): boolean => ratio > 0 && ratio < 1;

type Counted = Pick<MatrixSensitivity, 'bytes' | 'parameters' | 'flopsPerToken' | keyof TokenTimes>;

/** What is counted of a matrix, or of anything else that has such costs. */
export const costOf: Readonly<Record<BudgetUnit, (costs: Counted) => number>> = {
  bytes: ({ bytes }) => bytes,
  parameters: ({ parameters }) => parameters,
  memory: ({ bytes }) => bytes,
  flops: ({ flopsPerToken }) => flopsPerToken,
  decode: ({ decodeMsPerToken }) => decodeMsPerToken,
  prefill: ({ prefillMsPerToken }) => prefillMsPerToken,
};

/** What a sublayer's keys and values count for. */
export function cacheCost(
  unit: BudgetUnit,
  { kvBytesPerToken }: Pick<SublayerSummary, 'kvBytesPerToken'>,
  context: number,
): number {
  return unit === 'memory' ? kvBytesPerToken * context : 0;
}

/** Of what is not timed. */
export const noWork = { flopsPerToken: 0, decodeMsPerToken: 0, prefillMsPerToken: 0 } as const;

/** What is counted of a sublayer without its keys and values; of times nothing: they are of its layers, and of whole runs. */
export function ownCost(unit: BudgetUnit, sublayer: SublayerSummary): number {
  return costOf[unit]({ ...noWork, ...sublayer });
}

/**
 * What is counted of a whole model; `linear` is what is counted of all matrices of its sublayers, `outer` of others, and
 * `rest` of all else.
 */
export function wholeCost(
  unit: BudgetUnit,
  model: ModelSummary,
  context: number,
  { linear, outer, rest }: Readonly<Record<'linear' | 'outer' | 'rest', number>>,
): number {
  switch (unit) {
    case 'bytes':
    case 'parameters':
      return model[unit];
    case 'memory':
      return memoryAt(model, context);
    case 'flops':
      return model.sublayers.reduce((sum, { flopsPerToken }) => sum + flopsPerToken, outer);
    case 'decode':
    case 'prefill':
      return linear + outer + rest;
  }
}

/** The most that a limit allows of `whole`. */
export function mostOf(limit: BudgetLimit, whole: number): number {
  return 'ratio' in limit ? limit.ratio * whole : limit.most;
}

/** An amount: `1.20 GiB`, `3.42 M`, `20.0 ms`. */
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
