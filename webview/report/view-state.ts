import { group } from '../kit/saved-view';

/** The report has nothing that the user changes. */
export const savedView = group({});

export type View = object;
