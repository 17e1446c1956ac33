import type { InferOutput } from 'valibot';
import { group } from '../kit/saved-view';

/** The report has nothing that the user changes. */
export const savedView = group({});

export type View = InferOutput<typeof savedView>;
