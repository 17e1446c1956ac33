import {
  boolean,
  exactOptional,
  integer,
  maxValue,
  minValue,
  number,
  object,
  pipe,
  string,
  tuple,
} from 'valibot';
import type { InferOutput } from 'valibot';
import type { GeneratedToken } from '../core/generate/generate';
import type { Turn } from '../core/operations/generate';
import type { CallSchemas } from './panel';

export type { Turn } from '../core/operations/generate';

const whole = (least: number) => pipe(number(), integer(), minValue(least));

/** Prompt for both models, with the sampling settings. */
export const playgroundPrompt = object({
  prompt: string(),
  /** Applies each model's chat template to the prompt. */
  chat: boolean(),
  tokens: whole(1),
  temperature: pipe(number(), minValue(0)),
  topK: exactOptional(whole(1)),
  topP: exactOptional(pipe(number(), minValue(0), maxValue(1))),
  seed: pipe(number(), integer()),
});
export type PlaygroundPrompt = InferOutput<typeof playgroundPrompt>;

/** State of the last prompt. */
export type PlaygroundRun =
  | { readonly kind: 'idle' | 'running' | 'stopped' | 'done' }
  | { readonly kind: 'failed'; readonly message: string };

/** Progress of a model's text. */
export interface PlaygroundPace {
  readonly tokensPerSecond: number | null;
  /** True if the model has finished its text; undefined while it may continue. */
  readonly ended: boolean | undefined;
  /** Release of llama.cpp that runs the model; undefined if Espalier does. */
  readonly llamaCpp: string | undefined;
}

/** One or two models that continue the same prompt. */
export interface PlaygroundState {
  /** Paths of the models; the second is missing until it is chosen. */
  readonly models: readonly string[];
  /** Reason why no model can be run, if any. */
  readonly blocked: string | undefined;
  readonly run: PlaygroundRun;
  /** Keys are model and token number: `1.17`. */
  readonly tokens: Readonly<Record<string, GeneratedToken>>;
  /** One per model; fewer before their first tokens. */
  readonly paces: readonly PlaygroundPace[];
  readonly warnings: readonly string[];
  /** True if all models have a chat template. */
  readonly isChat: boolean;
  /** Earlier turns of this chat. */
  readonly turns: readonly Turn[];
  /** True if the texts shown are the last turn of a chat. */
  readonly isChatTurn: boolean;
}

export interface PlaygroundCalls {
  generate(prompt: PlaygroundPrompt): void;
  stop(): void;
  /** Clears the chat. */
  newChat(): void;
  /** The user chooses the model to compare with. */
  choose(): void;
}

export const playgroundCalls: CallSchemas<PlaygroundCalls> = {
  generate: tuple([playgroundPrompt]),
  stop: tuple([]),
  newChat: tuple([]),
  choose: tuple([]),
};
