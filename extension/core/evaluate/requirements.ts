import { say } from '../message';
import type { AnswersCompared, Interval } from './paired';

/** Measurements that requirements are checked on. */
export interface Figures {
  /** Perplexity over the original's, on the same text. */
  readonly perplexityRatio?: Interval | undefined;
  readonly task?: AnswersCompared | undefined;
  /** Fraction of the positions at which both models predict the same top-1 token. */
  readonly agreement?: Interval | undefined;
  /** Ratio of generated tokens per second to the original's, measured alternately. */
  readonly speedRatio?: Interval | undefined;
  /** Ratios to the original: bytes, bytes with keys and values of up to 4096 tokens, and parameters. */
  readonly size?: number;
  readonly memory?: number | undefined;
  readonly parameters?: number;
}

const measures = [
  'perplexity',
  'task',
  'agreement',
  'speed',
  'size',
  'memory',
  'parameters',
] as const;
type Measure = (typeof measures)[number];

/** One requirement. */
interface Limit {
  readonly measure: Measure;
  readonly isUpper: boolean;
  /** In the measure's own numbers: a change of 10 % is 0.1, 2 points are 0.02. */
  readonly bound: number;
}

/** Verdicts on a requirement. */
export const outcomes = ['accept', 'regression', 'not enough evidence'] as const;
export type Outcome = (typeof outcomes)[number];

/** Text of each outcome. */
export const outcomeWords: Readonly<Record<Outcome, string>> = {
  accept: 'accepted',
  regression: 'regression',
  'not enough evidence': 'not enough evidence',
};

/** Result of checking a requirement on a changed model. */
export interface Verdict {
  readonly outcome: Outcome;
  readonly limits: readonly {
    readonly limit: string;
    readonly outcome: Outcome;
    /** Measured value in the requirement's unit: a change in %, or points. */
    readonly measured?: Interval;
  }[];
  /**
   * Tokens/s of the original and the changed model on this machine, if a requirement concerns
   * speed.
   */
  readonly speed?: { readonly before: number; readonly after: number };
}

/** Syntax of requirements: the change of a measure, below or above a limit. */
export const requirementForm = {
  pattern:
    /^(?:(?:perplexity|size|memory|parameters)<[+-]?\d+(?:\.\d+)?%|speed>[+-]?\d+(?:\.\d+)?%|task>[+-]?\d+(?:\.\d+)?pt|agreement>\d+(?:\.\d+)?%)$/,
  takes: say`limits such as ${'perplexity<+10%'}, ${'task>-2pt'}, ${'agreement>90%'}, ${'speed>+10%'}, ${'size<-20%'}, ${'memory<-20%'} or ${'parameters<-20%'}`,
};

/** True if a requirement concerns the measure. */
export function asksFor(requirements: readonly string[], measure: Measure): boolean {
  return requirements.some((text) => parse(text).measure === measure);
}

/**
 * Checks requirements by confidence intervals. A limit is met if the whole interval meets it, and broken if none of it
 * does. Otherwise, or if nothing was measured, there is not enough evidence.
 */
export function judge(requirements: readonly string[], figures: Figures): Verdict {
  const limits = requirements.map((limit) => {
    const { measure, isUpper, bound } = parse(limit);
    const found = measuredChange(measure, figures);
    if (found === undefined) {
      return { limit, outcome: 'not enough evidence' } as const;
    }
    const { low, high } = found;
    const [holds, breaks] = isUpper ? [high < bound, low >= bound] : [low > bound, high <= bound];
    const outcome: Outcome = holds ? 'accept' : breaks ? 'regression' : 'not enough evidence';
    return { limit, outcome, measured: toPercent(found) };
  });
  const has = (outcome: Outcome): boolean => limits.some((one) => one.outcome === outcome);
  return {
    outcome: has('regression')
      ? 'regression'
      : has('not enough evidence')
        ? 'not enough evidence'
        : 'accept',
    limits,
  };
}

/** `+8.1 %`, and the ends of its interval, `+6.0` and `+10.2 %`, if it is not exact. */
export function describeMeasured(
  limit: string,
  { value, low, high }: Interval,
): { readonly value: string; readonly ends?: readonly [low: string, high: string] } {
  const unit = limit.endsWith('pt') ? 'pt' : '%';
  const isChange = parse(limit).measure !== 'agreement';
  const text = (amount: number): string =>
    `${amount < 0 ? '−' : isChange ? '+' : ''}${Math.abs(amount).toFixed(1)}`;
  return {
    value: `${text(value)} ${unit}`,
    ...(low === high ? {} : { ends: [text(low), `${text(high)} ${unit}`] }),
  };
}

function parse(text: string): Limit {
  const [, measure, sign, amount] = /^([a-z]+)([<>])(.*?)(?:%|pt)$/.exec(text) ?? [];
  const known = measures.find((name) => name === measure);
  if (known === undefined) {
    throw new RangeError(`${text} is no limit`);
  }
  return { measure: known, isUpper: sign === '<', bound: Number(amount) / 100 };
}

/** Value that a requirement limits: the change from the original, or the agreement. */
function measuredChange(measure: Measure, figures: Figures): Interval | undefined {
  switch (measure) {
    case 'perplexity':
      return shifted(figures.perplexityRatio, -1);
    case 'task':
      return figures.task?.difference;
    case 'agreement':
      return figures.agreement;
    case 'speed':
      return shifted(figures.speedRatio, -1);
    case 'size':
    case 'memory':
    case 'parameters':
      return shifted(exact(figures[measure]), -1);
  }
}

function exact(value: number | undefined): Interval | undefined {
  return value === undefined ? undefined : { value, low: value, high: value };
}

function shifted(interval: Interval | undefined, by: number): Interval | undefined {
  return (
    interval && { value: interval.value + by, low: interval.low + by, high: interval.high + by }
  );
}

function toPercent({ value, low, high }: Interval): Interval {
  return { value: 100 * value, low: 100 * low, high: 100 * high };
}
