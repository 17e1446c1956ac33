import type { GraphBuilder, Value } from '../onnx/graph-builder';
import type { Tensor } from '../runtime/tensors';
import type { ShapedValue } from './losses';

/** A tensor that training changes, float32. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Whether statistics of the batch and dropout are used, or what training has left. */
export type Mode = 'train' | 'evaluate';

/** A model's forward graph, its parameters and buffers being inputs of their own names. */
export interface ForwardGraph {
  readonly graph: GraphBuilder;
  readonly output: ShapedValue;
  /** What each buffer is after the step, in the mode `train`. */
  readonly buffers: Readonly<Record<string, Value>>;
}

/** A model that can be trained. */
export interface TrainableModel {
  readonly parameters: readonly Parameter[];
  /** Running statistics: changed by training, but not by gradients. */
  readonly buffers: readonly Parameter[];
  /** Names of the model's own inputs. */
  readonly inputs: readonly string[];
  forward(mode: Mode): ForwardGraph;
  /** Values of all parameters and buffers before training, by name; the caller owns them. */
  initial(): Promise<Readonly<Record<string, Tensor>>>;
}

/** Name of the graph's input that dropout draws from: int32 without dimensions. */
export const dropoutKey = 'dropout_key';
