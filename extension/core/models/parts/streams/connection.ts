import type { LazyTensor } from '../../../checkpoints/lazy-tensor';

/** Parameters of the stream coefficients matrix · norm(streams) · scale + base. */
export interface Connection {
  /** [factors, count · hidden] */
  readonly matrix: LazyTensor;
  /** [factors] */
  readonly base: LazyTensor;
  /** [number of factor kinds] */
  readonly scale: LazyTensor;
}

/**
 * Streams that every sublayer reads and changes all of (manifold-constrained hyper-connections, arXiv
 * 2512.24880), side by side in one as wide as all: [batch, sequence, count · hidden].
 */
export interface ConnectedStreams {
  readonly count: number;
  readonly rounds: number;
  readonly epsilon: number;
  /** Coefficients that merge all streams after the last block. */
  readonly head: Connection;
}

export const connectionTensors = (connection: Connection | undefined): LazyTensor[] =>
  connection === undefined ? [] : [connection.matrix, connection.base, connection.scale];
