import type { HiddenState, Tensor } from '../../runtime/tensors';
import type { GraphModel } from '../../training/graph-model';
import type { Loss } from '../../training/losses';

/** States before a sublayer, and targets of the residual stream after it: [1, sequence, hidden] each. */
export interface SliceData {
  readonly inputs: readonly HiddenState[];
  readonly targets: readonly Tensor[];
}

/** Training data, and held-out data for selecting the best values. */
export interface SlicePair {
  readonly train: SliceData;
  readonly heldOut: SliceData;
}

/** Sublayer as a separate model, with its loss and the data in the shape used for training. */
export interface Slice {
  readonly model: GraphModel;
  readonly loss: Loss;
  readonly data: SlicePair;
}
