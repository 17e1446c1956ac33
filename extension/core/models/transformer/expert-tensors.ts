import type { LazyTensor } from '../../checkpoints/lazy-tensor';

/** What belongs to the single experts of a mixture, by expert. */
export interface ExpertTensors {
  /** Of the router, of each of which every expert has a row. */
  readonly byRow: readonly LazyTensor[];
  readonly experts: readonly (readonly LazyTensor[])[];
}
