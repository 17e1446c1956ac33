import { DataType } from '../onnx/graph-builder';
import type { Dimension, GraphBuilder, Value } from '../onnx/graph-builder';

/** A value of a graph being built, with its shape. */
export interface ShapedValue {
  readonly value: Value;
  readonly shape: readonly Dimension[];
}

/**
 * Emits a loss, a float32 number, of a model's output; what it is compared with becomes an input of the
 * graph.
 */
export type Loss = (graph: GraphBuilder, output: ShapedValue) => Value;

/** Names of the inputs that losses add. */
export const lossInputs = {
  /** int64, the output's shape without its last axis: the class of each row. */
  labels: 'labels',
  /** float32 of the output's shape: probabilities or values. */
  targets: 'targets',
  /** int64, the output's shape with any last axis: the likeliest ids of the model that is imitated. */
  teacherIds: 'teacher_ids',
  /** float32, one more for each row: their probabilities, and that of all others together. */
  teacher: 'teacher_probabilities',
} as const;

/** Labels of this value do not count; PyTorch's default. */
const ignoredLabel = -100;

/** What hides an id from a sum of exponentials. */
const hiddenLogit = -1e30;
/** Of which the logarithm is taken where a probability is 0. */
const smallestProbability = 1e-30;

/** What the squared norm of a row of zeros counts as. */
const smallestNorm = 1e-12;

/** Mean over the labels that count of −log softmax(logits)[label], in nats. 0 where none counts. */
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

/** Mean over the rows of −Σ target · log softmax(logits). */
export const softCrossEntropy: Loss = (graph, { value, shape }) => {
  const targets = graph.input(lossInputs.targets, DataType.FLOAT, shape);
  const logProbabilities = graph.op('LogSoftmax', [value], { axis: -1 });
  return graph.op('Neg', [meanOfRows(graph, graph.op('Mul', [targets, logProbabilities]))]);
};

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
 * Mean over the rows of ‖output − target‖² / ‖target‖², so that a row of large numbers counts as much as
 * any other: the first token of a text has a hundred times the norm of the others in many models
 * (massive activations; Sun et al. 2024, arXiv 2402.17762).
 */
export const relativeSquaredError: Loss = (graph, { value, shape }) => {
  const targets = graph.input(lossInputs.targets, DataType.FLOAT, shape);
  const square = (x: Value): Value => graph.reduce('ReduceSum', graph.op('Mul', [x, x]), [-1], 0);
  const norms = graph.op('Max', [square(targets), graph.scalar(smallestNorm)]);
  const ratios = graph.op('Div', [square(graph.op('Sub', [value, targets])), norms]);
  return graph.op('ReduceMean', [ratios], { keepdims: 0 });
};

/** A loss whose rows are whole outputs: what it compares with is [1, size]. */
export function flattened(loss: Loss): Loss {
  return (graph, { value }) => {
    const row = graph.op('Reshape', [value, graph.ints([1, -1])]);
    return loss(graph, { value: row, shape: [1, 'size'] });
  };
}

/**
 * KL(teacher ‖ softmax(logits)), mean over the rows, of the teacher's likeliest ids one by one and of all others
 * together: their probability is one term, so that what the student gives them counts, but not to which of them.
 * At most the KL of all ids, and the same where all are given.
 */
export const distillation: Loss = (graph, { value, shape }) => {
  const rows = shape.slice(0, -1);
  const ids = graph.input(lossInputs.teacherIds, DataType.INT64, [...rows, 'ids']);
  const known = graph.input(lossInputs.teacher, DataType.FLOAT, [...rows, 'terms']);
  const sumOf = (logits: Value): Value => graph.reduce('ReduceLogSumExp', logits, [-1], 1);
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
  const others = sumOf(graph.op('Add', [value, hidden]));
  const terms = graph.op('Concat', [chosen, others], { axis: -1 });
  const student = graph.op('Sub', [terms, sumOf(value)]);
  const teacher = graph.op('Log', [graph.op('Max', [known, graph.scalar(smallestProbability)])]);
  const differences = graph.op('Sub', [teacher, student]);
  return meanOfRows(graph, graph.op('Mul', [known, differences]));
};

function meanOfRows(graph: GraphBuilder, terms: Value): Value {
  const sums = graph.reduce('ReduceSum', terms, [-1], 0);
  return graph.op('ReduceMean', [sums], { keepdims: 0 });
}
