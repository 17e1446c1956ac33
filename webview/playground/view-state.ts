import { object } from 'valibot';
import type { InferOutput } from 'valibot';
import { count, flagOr, group, maybe, textOr } from '../kit/saved-view';

/** How the user looks at the panel; numbers as they are typed. */
export const savedView = group({
  prompt: textOr(''),
  chat: flagOr(false),
  tokens: textOr('64'),
  temperature: textOr('0'),
  topK: textOr(''),
  topP: textOr(''),
  seed: textOr('0'),
  /** The token whose chances are shown. */
  selected: maybe(object({ model: count(), token: count() })),
});

export type View = InferOutput<typeof savedView>;
