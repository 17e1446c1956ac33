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
  /** float32 of the output's shape: the logits of the model that is imitated. */
  teacher: 'teacher_logits',
} as const;

/** Labels of this value do not count; PyTorch's default. */
const ignoredLabel = -100;

/** What the squared norm of a row of zeros counts as. */
const smallestNorm = 1e-12;

/** Mean over the labels that count of −log softmax(logits)[label], in nats. 0 where none counts. */
export function crossEntropy({ ignore = ignoredLabel }: { ignore?: number } = {}): Loss {
  return (graph, { value, shape }) => {
    const labels = graph.input(lossInputs.labels, DataType.INT64, shape.slice(0, -1));
    const counts = graph.op('Not', [graph.op('Equal', [labels, graph.ints([ignore], [])])]);
    const index = graph.op('Unsqueeze', [
      graph.op('Where', [counts, labels, graph.ints([0], [])]),
      graph.ints([-1]),
    ]);
    const logProbabilities = graph.op('LogSoftmax', [value], { axis: -1 });
    const chosen = graph.op('GatherElements', [logProbabilities, index], { axis: -1 });
    const weights = graph.op('Cast', [graph.op('Unsqueeze', [counts, graph.ints([-1])])], {
      to: DataType.FLOAT,
    });
    const sum = (x: Value): Value => graph.op('ReduceSum', [x], { keepdims: 0 });
    const number = graph.op('Max', [sum(weights), graph.scalar(1)]);
    return graph.op('Neg', [graph.op('Div', [sum(graph.op('Mul', [chosen, weights])), number])]);
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
 * T² · KL(softmax(teacher / T) ‖ softmax(logits / T)), mean over the rows (Hinton et al. 2015,
 * arXiv 1503.02531, § 2).
 */
export function distillation(temperature: number): Loss {
  return (graph, { value, shape }) => {
    const teacher = graph.input(lossInputs.teacher, DataType.FLOAT, shape);
    const logOf = (logits: Value): Value =>
      graph.op('LogSoftmax', [graph.op('Mul', [logits, graph.scalar(1 / temperature)])], {
        axis: -1,
      });
    const [student, known] = [logOf(value), logOf(teacher)];
    const terms = graph.op('Mul', [graph.op('Exp', [known]), graph.op('Sub', [known, student])]);
    return graph.op('Mul', [meanOfRows(graph, terms), graph.scalar(temperature ** 2)]);
  };
}

function meanOfRows(graph: GraphBuilder, terms: Value): Value {
  const sums = graph.reduce('ReduceSum', terms, [-1], 0);
  return graph.op('ReduceMean', [sums], { keepdims: 0 });
}
