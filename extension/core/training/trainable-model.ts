import type { GraphBuilder, Value } from '../onnx/graph-builder';
import type { Tensor } from '../runtime/tensors';
import type { ShapedValue } from './losses';

/** Float32 tensor that training changes. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Selects batch statistics and dropout (`train`), or running statistics without dropout (`evaluate`). */
export type Mode = 'train' | 'evaluate';

/** Forward graph of a model; parameters and buffers are inputs with their own names. */
export interface ForwardGraph {
  readonly graph: GraphBuilder;
  readonly output: ShapedValue;
  /** Values of the buffers after the step, in `train` mode. */
  readonly buffers: Readonly<Record<string, Value>>;
  /**
   * Values by parameter whose gradient the parameter gets (straight-through estimator; Bengio et al. 2013, arXiv
   * 1308.3432). Nothing else reads these parameters.
   */
  readonly straightThrough?: ReadonlyMap<string, Value>;
}

/** A model that can be trained. */
export interface TrainableModel {
  readonly parameters: readonly Parameter[];
  /** Running statistics, updated without gradients. */
  readonly buffers: readonly Parameter[];
  /** Names of the model's own inputs. */
  readonly inputs: readonly string[];
  forward(mode: Mode): ForwardGraph;
  /** Initial values of all parameters and buffers by name, owned by the caller. */
  initial(): Promise<Readonly<Record<string, Tensor>>>;
}

/** Input name of the dropout key: an int32 scalar. */
export const dropoutKey = 'dropout_key';
