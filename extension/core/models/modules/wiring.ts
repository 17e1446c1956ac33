import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitNorm, emitNorms } from '../parts/norm';
import type { Norm, NormStyle } from '../parts/norm';
import type { ConnectedStreams, Connection } from '../parts/streams/hyper-connections';
import { emitConnected } from '../parts/streams/hyper-connections';
import { emitWeight } from '../parts/weight';
import type { TensorFinder } from '../transformer/tensor-finder';
import type { WiringNames } from './wiring-names';

/** Weights around a branch of the residual stream. */
export interface Wiring {
  readonly norm?: Norm;
  readonly postNorm?: Norm;
  /** Factor on the stream; 1 when absent. */
  readonly streamFactor?: number;
  /** Factors on the branch: [width]. */
  readonly layerScale?: LazyTensor;
  /** Role of the block's input, if the branch runs in parallel with the branch before it. */
  readonly parallel?: WiringNames['parallel'] | undefined;
  /** Norms of the sum, in order: its own, and the remaining norms of removed sublayers after it. */
  readonly sumNorms?: readonly Norm[];
  /** Connection with streams that the branch reads and changes all of. */
  readonly connection?: Connection;
}

/** Sizes that the sublayers of one kind have in common. */
export interface BranchShape {
  readonly hiddenSize: number;
  readonly norm: NormStyle;
  /** Factor on the branch before it is added to the residual stream. */
  readonly residualScale: number;
}

/** Finds the tensors around the branch of a block whose tensors begin with `prefix`. */
export function findWiring(
  { norm, postNorm, layerScale, sumNorm }: WiringNames,
  tensors: TensorFinder,
  prefix: string,
  width: number,
): Wiring {
  const findNorm = (name: string): Norm => tensors.norm(`${prefix}${name}`, width);
  return {
    ...(norm === undefined ? {} : { norm: findNorm(norm) }),
    ...(postNorm === undefined ? {} : { postNorm: findNorm(postNorm) }),
    ...(layerScale === undefined
      ? {}
      : { layerScale: tensors.take(`${prefix}${layerScale}`, [width]) }),
    ...(sumNorm === undefined ? {} : { sumNorms: [findNorm(sumNorm)] }),
  };
}

/** Inputs of a branch and of its residual sum. */
interface WiredStream {
  readonly hidden: Value;
  /** Input of the branch, if it isn't the stream. */
  readonly input: Value;
  readonly streams: ConnectedStreams | undefined;
}

/** Emits streamFactor · hidden + scale · layerScale · postNorm(branch(input)), and the norms of the sum. */
export function emitWired(
  graph: GraphBuilder,
  { norm: style, residualScale }: BranchShape,
  wiring: Wiring,
  { hidden, input, streams }: WiredStream,
  branch: (x: Value) => Value,
): Value {
  const { postNorm, layerScale, sumNorms, streamFactor = 1, connection } = wiring;
  if (streams !== undefined && connection !== undefined) {
    return emitConnected(graph, style, streams, connection, hidden, branch);
  }
  const out = branch(input);
  const normed = postNorm === undefined ? out : emitNorm(graph, style, out, postNorm);
  const byChannel =
    layerScale === undefined ? normed : graph.op('Mul', [normed, emitWeight(graph, layerScale)]);
  const scaled =
    residualScale === 1 ? byChannel : graph.op('Mul', [byChannel, graph.scalar(residualScale)]);
  const sum = graph.step('sum', () => {
    const residual =
      streamFactor === 1 ? hidden : graph.op('Mul', [hidden, graph.scalar(streamFactor)]);
    return graph.op('Add', [residual, scaled]);
  });
  return sumNorms === undefined
    ? sum
    : graph.step('sum-norm', () => emitNorms(graph, style, sum, sumNorms));
}
