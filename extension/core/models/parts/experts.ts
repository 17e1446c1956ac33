import { rowsOfTensor } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { emitInner } from './feedforward';
import type { FeedforwardShape, FeedforwardWeights } from './feedforward';
import { emitLinear } from './linear';
import { emitBranchInput, emitResidual } from './norm';
import type { Branch } from './norm';
import { emitWeight } from './weight';

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
  /** Scores of the experts: rows of a matrix [count, hiddenSize], piece by piece. */
  readonly router: readonly LazyTensor[];
  readonly experts: readonly Expert[];
}

/**
 * Emits hidden + Σⱼ wⱼ · expertⱼ(norm(hidden)) over the experts with the `perToken` highest
 * probabilities w = softmax(router(norm(hidden))) of a token (arXiv 2101.03961, 2401.04088), hidden
 * [batch, sequence, hiddenSize]. An expert runs over the rows that chose it and no others. `mask`
 * [batch, count] is added to the scores: −∞ for an expert that is not to be chosen, else 0.
 */
export function emitExperts(
  graph: GraphBuilder,
  shape: ExpertShape,
  weights: ExpertWeights,
  hidden: Value,
  mask?: Value,
): Value {
  const { norm, residualScale, hiddenSize } = shape;
  const normed = emitBranchInput(graph, norm, hidden, weights);
  const rows = graph.op('Reshape', [normed, graph.ints([-1, hiddenSize])]);
  const scores = emitScores(graph, weights.router, rows);
  const masked = mask === undefined ? scores : emitMasked(graph, shape, scores, hidden, mask);
  const { chosen, shares } = emitRouting(graph, shape, masked);
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

/** A mixture of those experts alone whose numbers are given, ascending. */
export function keepExperts(
  shape: ExpertShape,
  weights: ExpertWeights,
  kept: readonly number[],
): { readonly shape: ExpertShape; readonly weights: ExpertWeights } {
  const [router, ...others] = weights.router;
  if (router === undefined || others.length > 0) {
    throw new Error('a mixture that lacks experts is not divided again');
  }
  const runs: { start: number; end: number }[] = [];
  for (const expert of kept) {
    const last = runs.at(-1);
    if (last?.end === expert) {
      last.end++;
    } else {
      runs.push({ start: expert, end: expert + 1 });
    }
  }
  return {
    shape: { ...shape, count: kept.length, perToken: Math.min(shape.perToken, kept.length) },
    weights: {
      ...weights,
      router: runs.map(({ start, end }) => rowsOfTensor(router, start, end)),
      experts: weights.experts.filter((_, expert) => kept.includes(expert)),
    },
  };
}

/** Scores [rows, count]. */
function emitScores(graph: GraphBuilder, router: readonly LazyTensor[], rows: Value): Value {
  const [first, ...others] = router;
  if (first !== undefined && others.length === 0) {
    return emitLinear(graph, { weight: first }, rows);
  }
  const pieces = router.map((piece) => emitWeight(graph, piece));
  return graph.op('Gemm', [rows, graph.op('Concat', pieces, { axis: 0 })], { transB: 1 });
}

/** scores [rows, count] + mask [batch, count], where an example of the batch is `sequence` rows. */
function emitMasked(
  graph: GraphBuilder,
  { count }: ExpertShape,
  scores: Value,
  hidden: Value,
  mask: Value,
): Value {
  const leading = graph.op('Slice', [
    graph.op('Shape', [hidden]),
    graph.ints([0]),
    graph.ints([2]),
  ]);
  const size = graph.op('Concat', [leading, graph.ints([count])], { axis: 0 });
  const sum = graph.op('Add', [
    graph.op('Reshape', [scores, size]),
    graph.op('Unsqueeze', [mask, graph.ints([1])]),
  ]);
  return graph.op('Reshape', [sum, graph.ints([-1, count])]);
}

/**
 * Numbers and weights of each row's experts from scores [rows, count]: `chosen` int64 and `shares`
 * [rows, perToken].
 */
function emitRouting(
  graph: GraphBuilder,
  shape: ExpertShape,
  scores: Value,
): { chosen: Value; shares: Value } {
  const probabilities = graph.op('Softmax', [scores], { axis: -1 });
  const [highest = '', chosen = ''] = graph.ops(
    'TopK',
    [probabilities, graph.ints([shape.perToken])],
    2,
    { axis: -1 },
  );
  const total = graph.op('ReduceSum', [highest, graph.ints([1])]);
  return { chosen, shares: shape.normalized ? graph.op('Div', [highest, total]) : highest };
}
