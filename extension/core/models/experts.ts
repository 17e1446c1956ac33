import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { emitInner } from './feedforward';
import type { FeedforwardShape, FeedforwardWeights } from './feedforward';
import { emitLinear } from './linear';
import type { Linear } from './linear';
import { emitBranchInput, emitResidual } from './norm';
import type { Branch } from './norm';

/** Sizes shared by every mixture of experts of a model. */
export interface ExpertShape extends FeedforwardShape {
  /** Number of experts, and how many of them a token is sent to. */
  readonly count: number;
  readonly perToken: number;
  /** Width of an expert. */
  readonly inner: number;
  /** Whether the weights of a token's experts add up to 1. */
  readonly normalized: boolean;
}

/** Weights of one expert, a feed-forward without norms. */
export type Expert = Pick<FeedforwardWeights, 'gateUp' | 'down'>;

/** Weights of one mixture of experts. */
export interface ExpertWeights extends Branch {
  /** Scores of the experts. */
  readonly router: Linear;
  readonly experts: readonly Expert[];
}

/**
 * Emits hidden + Σⱼ wⱼ · expertⱼ(norm(hidden)) over the experts with the `perToken` highest
 * probabilities w = softmax(router(norm(hidden))) of a token (arXiv 2101.03961, 2401.04088), hidden
 * [batch, sequence, hiddenSize]. An expert runs over the rows that chose it and no others.
 */
export function emitExperts(
  graph: GraphBuilder,
  shape: ExpertShape,
  weights: ExpertWeights,
  hidden: Value,
): Value {
  const { norm, residualScale, hiddenSize } = shape;
  const normed = emitBranchInput(graph, norm, hidden, weights);
  const rows = graph.op('Reshape', [normed, graph.ints([-1, hiddenSize])]);
  const { chosen, shares } = emitRouting(graph, shape, weights.router, rows);
  let sum = graph.op('Mul', [rows, graph.scalar(0)]);
  for (const [j, expert] of weights.experts.entries()) {
    const isChosen = graph.op('Equal', [chosen, graph.ints([j], [])]);
    const share = graph.op('ReduceSum', [
      graph.op('Where', [isChosen, shares, graph.scalar(0)]),
      graph.ints([1]),
    ]);
    // NonZero gives the places of true values as [rank, count]; a row has an expert once.
    const places = graph.op('NonZero', [isChosen]);
    const numbers = graph.op('Gather', [places, graph.ints([0], [])]);
    const inner = emitInner(graph, shape, expert, graph.op('Gather', [rows, numbers]));
    const output = graph.op('Mul', [
      emitLinear(graph, expert.down, inner),
      graph.op('Gather', [share, numbers]),
    ]);
    const indices = graph.op('Unsqueeze', [numbers, graph.ints([1])]);
    sum = graph.op('ScatterND', [sum, indices, output], { reduction: 'add' });
  }
  const branch = graph.op('Reshape', [sum, graph.op('Shape', [hidden])]);
  return emitResidual(graph, norm, residualScale, hidden, branch, weights);
}

/** Numbers and weights of each row's experts: `chosen` int64 and `shares` [rows, perToken]. */
function emitRouting(
  graph: GraphBuilder,
  shape: ExpertShape,
  router: Linear,
  rows: Value,
): { chosen: Value; shares: Value } {
  const probabilities = graph.op('Softmax', [emitLinear(graph, router, rows)], { axis: -1 });
  const [highest = '', chosen = ''] = graph.ops(
    'TopK',
    [probabilities, graph.ints([shape.perToken])],
    2,
    { axis: -1 },
  );
  const total = graph.op('ReduceSum', [highest, graph.ints([1])]);
  return { chosen, shares: shape.normalized ? graph.op('Div', [highest, total]) : highest };
}
