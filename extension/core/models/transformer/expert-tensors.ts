import type { LazyTensor } from '../../checkpoints/lazy-tensor';

/** What belongs to the single experts of a mixture, by expert. */
export interface ExpertTensors {
  /** [count, hiddenSize], of which each expert has a row. */
  readonly router: LazyTensor;
  readonly experts: readonly (readonly LazyTensor[])[];
}
