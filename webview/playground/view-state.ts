import { boolean, object } from 'valibot';
import type { InferOutput } from 'valibot';
import { count, group, maybe, textOr } from '../kit/saved-view';

/** Saved view of the panel; numbers as typed. */
export const savedView = group({
  prompt: textOr(''),
  /** Undefined until it is switched: on for chat models. */
  chat: maybe(boolean()),
  tokens: textOr('64'),
  temperature: textOr('0'),
  topK: textOr(''),
  topP: textOr(''),
  seed: textOr('0'),
  /** The token whose chances are shown. */
  selected: maybe(object({ model: count(), token: count() })),
});

export type View = InferOutput<typeof savedView>;
