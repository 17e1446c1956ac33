import type { FitRequest, Fit } from '../subsets/diet-material';
import type { ScoreSeedRequest } from '../scores/scoring-job';
import type { TrainRequest } from './train-request';

/** The training of one seed, as plain data that another process can be sent. */
export type SeedTask =
  | { readonly kind: 'train'; readonly request: TrainRequest; readonly seed: number }
  | { readonly kind: 'score'; readonly request: ScoreSeedRequest; readonly seed: number }
  | { readonly kind: 'fit'; readonly request: FitRequest; readonly fit: Fit };
