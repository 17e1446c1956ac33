import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../../onnx/graph-builder';
import type { Message } from '../../../message';
import type { SublayerCache } from '../../model-emitter';
import type { Linear } from '../linear';
import type { Norm } from '../norm';

/** A convolution along the sequence that sees no later position: weight [channels, 1, kernel]. */
export interface Convolution {
  readonly weight: LazyTensor;
  readonly bias?: LazyTensor;
}

/** Weights of an SSM or linear-attention layer; the order of each list depends on its kind. */
export interface MixerParts {
  /** The last one is the output projection. */
  readonly linears: readonly Linear[];
  /** Parts of one convolution, each with some of the channels. */
  readonly convolutions: readonly Convolution[];
  readonly norms: readonly Norm[];
  readonly tensors: readonly LazyTensor[];
}

/** Looks the tensors of a mixer up, by their names below its module. */
export interface MixerFinder {
  readonly hiddenSize: number;
  readonly linear: (name: string, out: number, input: number, bias?: boolean) => Linear;
  readonly convolution: (
    name: string,
    channels: number,
    kernel: number,
    bias: boolean,
  ) => Convolution;
  readonly norm: (name: string, ...shape: readonly number[]) => Norm;
  /** Number of rows of a convolution's or linear layer's weight; 0 where it lacks. */
  readonly rows: (name: string) => number;
  readonly take: (name: string, shape: readonly number[]) => LazyTensor;
}

/** Graph and inputs of a mixer. `rows` is [batch · sequence, hiddenSize]. */
export interface MixerInput {
  readonly graph: GraphBuilder;
  readonly rows: Value;
  /** int64 [2]: batch and sequence. */
  readonly leading: Value;
  /** Epsilon of the model's norms. */
  readonly epsilon: number;
  /** Rows with zeros for padding. */
  readonly mask: (rows: Value) => Value;
  /** [batch · sequence, 1]: 1 for the first token of a text, 0 elsewhere; empty for forms that don't read it. */
  readonly starts: Value;
  /** Cache of the layer; undefined if the sequence is complete. */
  readonly cache: SublayerCache | undefined;
}

/** Kind of SSM or linear-attention layer. */
export interface MixerKind<Form> {
  /** Label in diagrams. */
  readonly label: Message;
  /** True if it reads which tokens are the first of their sequence. */
  readonly readsStarts?: boolean;
  find(form: Form, finder: MixerFinder): MixerParts;
  /** Rows [batch · sequence, hiddenSize]. */
  emit(input: MixerInput, form: Form, parts: MixerParts): Value;
}
