import type { HiddenState, Tensor } from '../../runtime/tensors';
import type { GraphModel } from '../../training/graph-model';
import type { Loss } from '../../training/losses';

/** States before a sublayer, and the targets of the stream after it: [1, sequence, hidden] each. */
export interface SliceData {
  readonly inputs: readonly HiddenState[];
  readonly targets: readonly Tensor[];
}

/** What is trained on, and what tells when it is better. */
export interface SlicePair {
  readonly train: SliceData;
  readonly heldOut: SliceData;
}

/** A sublayer as a model of its own, with the loss and the data in the shape that it is trained in. */
export interface Slice {
  readonly model: GraphModel;
  readonly loss: Loss;
  readonly data: SlicePair;
}
