import { boolean, string } from 'valibot';
import type { InferOutput } from 'valibot';
import { countOr, flagOr, group, maybe, savedChoice, texts } from '../kit/saved-view';
import { initialForm } from './budget';
import type { FormLimit } from './budget';
import { sortKeys } from './sort-keys';

const limit = ({ isSet, percent }: FormLimit) =>
  group({ isSet: flagOr(isSet), percent: countOr(percent) });

/** Saved view of the panel, with the budget form. */
export const savedView = group({
  /** Key of the way that is shown, `plan`, or undefined for the first. */
  shown: maybe(string()),
  /** True if the details are open; undefined if the user has neither opened nor closed them. */
  details: maybe(boolean()),
  /** Percent of the bytes at which layers are shown. */
  share: countOr(40),
  sort: group({ key: savedChoice(sortKeys, 'loss'), descending: flagOr(true) }),
  form: group({
    limits: group({
      bytes: limit(initialForm.limits.bytes),
      parameters: limit(initialForm.limits.parameters),
      memory: limit(initialForm.limits.memory),
      flops: limit(initialForm.limits.flops),
      decode: limit(initialForm.limits.decode),
      prefill: limit(initialForm.limits.prefill),
    }),
    context: countOr(initialForm.context),
    without: texts(),
    removes: flagOr(initialForm.removes),
    prunesWidths: flagOr(initialForm.prunesWidths),
    embeddingAndHead: flagOr(initialForm.embeddingAndHead),
  }),
});

export type View = InferOutput<typeof savedView>;
