import {
  array,
  integer,
  minValue,
  number,
  object,
  optional,
  pipe,
  record,
  string,
  tuple,
} from 'valibot';
import type { GenericSchema } from 'valibot';
import type { EvaluationResult } from '../core/evaluate/evaluation';
import type { Verdict } from '../core/evaluate/gate';
import type { FittedModel } from '../core/operations/fit-model';
import type { CallSchemas } from './panel';

/** A smaller model, as its report shows it. */
export interface SmallerModel extends Pick<
  FittedModel,
  | 'path'
  | 'model'
  | 'runtime'
  | 'size'
  | 'bytesBefore'
  | 'bytesAfter'
  | 'memory'
  | 'types'
  | 'commands'
  | 'requantized'
  | 'mix'
  | 'sensitivity'
> {
  /** Name and path of the original. */
  readonly name: string;
  readonly source: string;
  /** Sentence that says what was verified. */
  readonly verified: string;
  readonly evaluation?: EvaluationResult;
  readonly verdict?: Verdict;
}

const interval = object({ value: number(), low: number(), high: number() });
const evaluated = {
  ...{ perplexity: number(), tokens: number(), tokensPerSecond: number() },
  llamaCpp: optional(
    object({
      ...{ release: string(), threads: number() },
      ...{ prefillTokensPerSecond: number(), decodeTokensPerSecond: number() },
    }),
  ),
};
const outcome = string();

/** State that a tab keeps over a reload. */
export const smallerModelSchema = object({
  ...{ name: string(), source: string(), path: string(), model: string() },
  verified: string(),
  ...{ runtime: string(), size: string(), bytesBefore: number(), bytesAfter: number() },
  memory: object({ context: number(), before: number(), after: number() }),
  types: record(string(), number()),
  commands: array(object({ program: string(), command: string() })),
  requantized: optional(string()),
  mix: optional(
    object({
      ...{ limit: number(), distance: number(), metric: string() },
      ...{ measured: number(), layers: number() },
    }),
  ),
  sensitivity: optional(string()),
  evaluation: optional(
    object({
      ...evaluated,
      against: optional(object(evaluated)),
      perplexityRatio: optional(interval),
      klDivergence: optional(interval),
      agreement: optional(interval),
    }),
  ),
  verdict: optional(
    object({
      outcome,
      limits: array(object({ limit: string(), outcome, measured: optional(interval) })),
    }),
  ),
}) as unknown as GenericSchema<unknown, SmallerModel>;

export interface SmallerState {
  readonly smaller: SmallerModel;
}

export interface SmallerCalls {
  /** Opens the playground with the original. */
  tryIt(): void;
  /** Shows the files. */
  reveal(): void;
  /** Asks for another size of the original. */
  evenSmaller(): void;
  /** Shows what was measured, or how the tensors differ. */
  seeWhy(): void;
  /** Copies a command, by its number. */
  copy(command: number): void;
}

export const smallerCalls: CallSchemas<SmallerCalls> = {
  tryIt: tuple([]),
  reveal: tuple([]),
  evenSmaller: tuple([]),
  seeWhy: tuple([]),
  copy: tuple([pipe(number(), integer(), minValue(0))]),
};
