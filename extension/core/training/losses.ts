import { DataType } from '../onnx/graph-builder';
import type { Dimension, GraphBuilder, Value } from '../onnx/graph-builder';

/** Value of a graph under construction, with its shape. */
export interface ShapedValue {
  readonly value: Value;
  readonly shape: readonly Dimension[];
}

/** Emits the loss of a model's output, a float32 scalar; what it compares with becomes an input of the graph. */
export type Loss = (graph: GraphBuilder, output: ShapedValue) => Value;

/** Names of the inputs that losses add. */
export const lossInputs = {
  /** int64, the output's shape without the last axis: class of each row. */
  labels: 'labels',
  /** float32, the output's shape: probabilities or values. */
  targets: 'targets',
  /** int64, the output's shape with any last axis: the teacher's most probable ids. */
  teacherIds: 'teacher_ids',
  /** float32, with one more element per row: probabilities of these ids, then the total probability of all others. */
  teacher: 'teacher_probabilities',
} as const;

/** Label that is ignored; PyTorch's default. */
const ignoredLabel = -100;

/** Logit that excludes an id from a sum of exponentials. */
const hiddenLogit = -1e30;
/** Minimum probability before taking the logarithm. */
const smallestProbability = 1e-30;

/** Minimum squared norm of a row, to avoid division by 0. */
const smallestNorm = 1e-12;

/** Mean over the labels that aren't ignored of −log softmax(logits)[label], in nats; 0 if all are ignored. */
export function crossEntropy({ ignore = ignoredLabel }: { ignore?: number } = {}): Loss {
  return (graph, { value, shape }) => {
    const labels = graph.input(lossInputs.labels, DataType.INT64, shape.slice(0, -1));
    const column = graph.op('Unsqueeze', [labels, graph.ints([-1])]);
    const isIgnored = graph.op('Equal', [column, graph.ints([ignore], [])]);
    const index = graph.op('Where', [isIgnored, graph.ints([0], []), column]);
    const weights = graph.op('Where', [isIgnored, graph.scalar(0), graph.scalar(1)]);
    const logProbabilities = graph.op('LogSoftmax', [value], { axis: -1 });
    const chosen = graph.op('GatherElements', [logProbabilities, index], { axis: -1 });
    const sum = (x: Value): Value => graph.op('ReduceSum', [x], { keepdims: 0 });
    const number = graph.op('Max', [sum(weights), graph.scalar(1)]);
    const shares = graph.op('Div', [weights, graph.op('Neg', [number])]);
    return sum(graph.op('Mul', [chosen, shares]));
  };
}

/** Mean of softplus(logit) − logit · target, the binary cross-entropy of logits. */
export const binaryCrossEntropy: Loss = (graph, { value, shape }) => {
  const targets = graph.input(lossInputs.targets, DataType.FLOAT, shape);
  const softplus = graph.op('Softplus', [value]);
  const losses = graph.op('Sub', [softplus, graph.op('Mul', [value, targets])]);
  return graph.op('ReduceMean', [losses], { keepdims: 0 });
};

export const meanSquaredError: Loss = (graph, { value, shape }) => {
  const targets = graph.input(lossInputs.targets, DataType.FLOAT, shape);
  const difference = graph.op('Sub', [value, targets]);
  return graph.op('ReduceMean', [graph.op('Mul', [difference, difference])], { keepdims: 0 });
};

/**
 * Mean over the rows of ‖output − target‖² / ‖target‖². The normalization gives all rows the same weight: in many
 * models the first token of a text has a hundred times the norm of the others (massive activations; Sun et al. 2024,
 * arXiv 2402.17762).
 */
export const relativeSquaredError: Loss = (graph, { value, shape }) => {
  const targets = graph.input(lossInputs.targets, DataType.FLOAT, shape);
  const square = (x: Value): Value => graph.reduce('ReduceSum', graph.op('Mul', [x, x]), [-1], 0);
  const norms = graph.op('Max', [square(targets), graph.scalar(smallestNorm)]);
  const ratios = graph.op('Div', [square(graph.op('Sub', [value, targets])), norms]);
  return graph.op('ReduceMean', [ratios], { keepdims: 0 });
};

/** Applies a loss to whole outputs as one row; the target is [1, size]. */
export function flattened(loss: Loss): Loss {
  return (graph, { value }) => {
    const row = graph.op('Reshape', [value, graph.ints([1, -1])]);
    return loss(graph, { value: row, shape: [1, 'size'] });
  };
}

/**
 * KL(teacher ‖ softmax(logits)), mean over the rows. The teacher's most probable ids are one term each; all others are
 * merged into one term, so their total probability counts, but not its distribution among them. A lower bound of the KL
 * over all ids, equal to it if all ids are given.
 */
export const distillation: Loss = (graph, { value, shape }) => {
  const rows = shape.slice(0, -1);
  const ids = graph.input(lossInputs.teacherIds, DataType.INT64, [...rows, 'ids']);
  const known = graph.input(lossInputs.teacher, DataType.FLOAT, [...rows, 'terms']);
  const logSumExp = (logits: Value): Value => graph.reduce('ReduceLogSumExp', logits, [-1], 1);
  const hidden = graph.op(
    'ScatterElements',
    [
      graph.op('Expand', [graph.scalar(0), graph.op('Shape', [value])]),
      ids,
      graph.op('Expand', [graph.scalar(hiddenLogit), graph.op('Shape', [ids])]),
    ],
    { axis: -1 },
  );
  const chosen = graph.op('GatherElements', [value, ids], { axis: -1 });
  const others = logSumExp(graph.op('Add', [value, hidden]));
  const terms = graph.op('Concat', [chosen, others], { axis: -1 });
  const student = graph.op('Sub', [terms, logSumExp(value)]);
  const teacher = graph.op('Log', [graph.op('Max', [known, graph.scalar(smallestProbability)])]);
  const differences = graph.op('Sub', [teacher, student]);
  return rowMean(graph, graph.op('Mul', [known, differences]));
};

function rowMean(graph: GraphBuilder, terms: Value): Value {
  const sums = graph.reduce('ReduceSum', terms, [-1], 0);
  return graph.op('ReduceMean', [sums], { keepdims: 0 });
}
