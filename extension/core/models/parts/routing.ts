import type { GraphBuilder, Value } from '../../onnx/graph-builder';

/** Experts and weights of each row: int64 and float32 [rows, perToken]. */
export interface Routed {
  readonly chosen: Value;
  readonly shares: Value;
}

/** Routing of tokens to experts. */
export interface Routing {
  /** Number of experts per token. */
  readonly perToken: number;
  /** Function from router scores to routing weights. */
  readonly score: 'softmax' | 'sigmoid' | 'root-softplus';
  /** True if the weights of a token's experts are normalized to sum 1. */
  readonly normalized: boolean;
  /** Factor on the weights. */
  readonly shareScale: number;
  /** Group-limited routing: experts come from the `chosen` groups with the highest sums of their `best` top weights. */
  readonly groups:
    | { readonly count: number; readonly chosen: number; readonly best: number }
    | undefined;
  /** True if experts are selected by scores instead of weights. */
  readonly choosesByScores: boolean;
}

/** Edges of a router: scores [rows, count], and the bias for selecting experts. */
interface Scored {
  readonly scores: Value;
  /** [count] */
  readonly bias: Value | undefined;
  /** [rows, count] */
  readonly mask?: Value;
  /** int64 [rows, perToken]: experts that a table has chosen. */
  readonly chosen?: Value;
}

/** Emits indices and weights of each row's experts. */
export function emitRouting(
  graph: GraphBuilder,
  routing: Routing,
  { scores, bias, mask, chosen: given }: Scored,
): Routed {
  const plus = (x: Value, y: Value | undefined): Value =>
    y === undefined ? x : graph.op('Add', [x, y]);
  const { score, perToken, normalized, shareScale } = routing;
  const masked = plus(scores, mask);
  const weights = emitShares(graph, score, masked);
  const chosenWeights = (chosen: Value): Value =>
    graph.op('GatherElements', [weights, chosen], { axis: -1 });
  const choose = (): Routed => {
    const judged = routing.choosesByScores ? masked : weights;
    // A bias, or the weight 0 in the score of a group, would let a masked expert win.
    const isOpen = bias !== undefined || routing.groups !== undefined;
    const preferred = plus(judged, bias);
    const choice = emitBestGroups(graph, routing, isOpen ? plus(preferred, mask) : preferred);
    const [highest = '', best = ''] = graph.ops('TopK', [choice, graph.ints([perToken])], 2, {
      axis: -1,
    });
    return { chosen: best, shares: choice === weights ? highest : chosenWeights(best) };
  };
  const { chosen, shares } =
    given === undefined ? choose() : { chosen: given, shares: chosenWeights(given) };
  const total = graph.op('ReduceSum', [shares, graph.ints([1])]);
  const whole = normalized ? graph.op('Div', [shares, total]) : shares;
  return {
    chosen,
    shares: shareScale === 1 ? whole : graph.op('Mul', [whole, graph.scalar(shareScale)]),
  };
}

/** Emits routing weights of all experts from their scores. */
function emitShares(graph: GraphBuilder, score: Routing['score'], scores: Value): Value {
  switch (score) {
    case 'softmax':
      return graph.op('Softmax', [scores], { axis: -1 });
    case 'sigmoid':
      return graph.op('Sigmoid', [scores]);
    case 'root-softplus':
      return graph.op('Sqrt', [graph.op('Softplus', [scores])]);
  }
}

/** Emits `choice` [rows, count] with the lowest numbers for experts outside the best groups (arXiv 2405.04434). */
function emitBestGroups(graph: GraphBuilder, { groups }: Routing, choice: Value): Value {
  if (groups === undefined) {
    return choice;
  }
  const grouped = graph.op('Reshape', [choice, graph.ints([0, groups.count, -1])]);
  const [best = ''] = graph.ops('TopK', [grouped, graph.ints([groups.best])], 2, { axis: -1 });
  const scores = graph.op('ReduceSum', [best, graph.ints([2])], { keepdims: 0 });
  const [highest = ''] = graph.ops('TopK', [scores, graph.ints([groups.chosen])], 2, { axis: -1 });
  const least = graph.op('ReduceMin', [highest], { axes: [-1], keepdims: 1 });
  const isChosen = graph.op('Unsqueeze', [
    graph.op('GreaterOrEqual', [scores, least]),
    graph.ints([2]),
  ]);
  const left = graph.op('Where', [isChosen, grouped, graph.scalar(-1e30)]);
  return graph.op('Reshape', [left, graph.op('Shape', [choice])]);
}
