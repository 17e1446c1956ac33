import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import type { NodeProto } from '../onnx/proto/onnx_pb';
import { GraphIndex, operatorName } from '../models/onnx/graph-index';
import type { GraphNode } from '../models/onnx/graph-index';
import { ValueShapes } from '../models/onnx/values/value-shapes';
import { ValueTypes } from '../models/onnx/values/value-types';
import { UserError } from '../user-error';
import { Emitted, NodeGradient } from './gradients/node-gradient';
import { matchGelu, elementwiseRules } from './gradients/elementwise';
import { say } from '../message';
import { convolutionRules } from './gradients/convolution';
import { indexingRules } from './gradients/indexing';
import { linearRules } from './gradients/linear';
import type { Rule } from './gradients/node-gradient';
import { normalizationRules } from './gradients/normalization';
import { poolingRules } from './gradients/pooling';
import { reductionRules } from './gradients/reductions';
import { shapeGradientRules } from './gradients/shapes';

const floatTypes: ReadonlySet<number> = new Set([
  DataType.FLOAT,
  DataType.DOUBLE,
  DataType.FLOAT16,
  DataType.BFLOAT16,
]);

/** Operators without gradient: they only depend on the shape or order of their inputs. */
const nonDifferentiable: ReadonlySet<string> = new Set([
  'Shape',
  'Size',
  'ArgMax',
  'ArgMin',
  'NonZero',
]);

/**
 * Appends the nodes that compute the gradient of the scalar `loss` with respect to each of `targets` to a graph
 * (reverse mode; Griewank and Walther 2008, § 3.2). Uses operators of opset 17 and, in float32, ONNX Runtime's
 * FusedMatMul. Targets that the loss doesn't depend on get zeros.
 * @throws UserError that names a node between a target and the loss whose operator has no rule
 */
export function backward(
  graph: GraphBuilder,
  loss: Value,
  targets: readonly Value[],
): ReadonlyMap<Value, Value> {
  return emitBackward(
    graph,
    (type) => {
      return new Map([[loss, graph.numbers(type(loss), [1], [])]]);
    },
    targets,
  );
}

/** Continues the backward pass from several values with known gradients, `given` by value. */
export function backwardFrom(
  graph: GraphBuilder,
  given: ReadonlyMap<Value, Value>,
  targets: readonly Value[],
): ReadonlyMap<Value, Value> {
  return emitBackward(graph, () => given, targets);
}

type Start = (typeOf: (value: Value) => number) => ReadonlyMap<Value, Value>;

function emitBackward(
  graph: GraphBuilder,
  start: Start,
  targets: readonly Value[],
): ReadonlyMap<Value, Value> {
  const { result, nodes } = graph.recorded(() =>
    graph.within('backward', () => emitGradients(graph, start, targets)),
  );
  graph.drop(findUnread(nodes, result.values()));
  return result;
}

function emitGradients(
  graph: GraphBuilder,
  start: Start,
  targets: readonly Value[],
): ReadonlyMap<Value, Value> {
  const proto = graph.graph;
  const index = new GraphIndex(proto, proto.name);
  const initializers = new Map(proto.initializer.map((tensor) => [tensor.name, tensor]));
  const types = new ValueTypes({ graph: proto, initializers }, index);
  const shapes = new ValueShapes(proto, index);
  const facts = { types, shapes };
  const emitted = new Emitted();
  const moving = dependents(index.nodes, targets, types);
  const terms = new Map<Value, Value[]>(
    [...start((value) => types.of(value))].map(([value, gradient]) => [value, [gradient]]),
  );
  const total = (value: Value): Value | undefined => {
    const parts = terms.get(value) ?? [];
    const sum = parts.length > 1 ? graph.op('Sum', parts) : parts[0];
    terms.set(value, sum === undefined ? [] : [sum]);
    return sum;
  };
  const makers = {
    makerOf: (value: Value) =>
      targets.includes(value) ? undefined : index.producers.get(value)?.proto,
    numberOf: (value: Value) => shapes.number(value),
  };
  for (const { proto } of [...index.nodes].reverse()) {
    const node = matchGelu(proto, makers) ?? proto;
    const gradients = node.output.map((output) =>
      output !== '' && moving.has(output) ? total(output) : undefined,
    );
    if (gradients.every((gradient) => gradient === undefined)) {
      continue;
    }
    if (node.opType !== 'Split' && gradients.some((gradient, place) => place > 0 && gradient)) {
      throw new UserError(
        'gradient-unsupported',
        say`Gradients flow only through its first output.`,
        { field: nodeName(node), remedy: say`Export the model in basic ONNX operators.` },
      );
    }
    const emitters = requireRule(node)(new NodeGradient(graph, node, facts, emitted, gradients));
    node.input.forEach((input, place) => {
      const emit = emitters[place];
      if (emit !== undefined && moving.has(input)) {
        terms.set(input, [...(terms.get(input) ?? []), emit()]);
      }
    });
  }
  return new Map(
    targets.map((target) => {
      const gradient = total(target);
      const zeros = (): Value =>
        graph.op('Expand', [graph.numbers(types.of(target), [0], []), graph.op('Shape', [target])]);
      return [target, gradient ?? zeros()] as const;
    }),
  );
}

/** The targets and all floating-point values that depend on them. */
export function dependents(
  nodes: readonly GraphNode[],
  targets: readonly Value[],
  types: ValueTypes,
): ReadonlySet<Value> {
  const found = new Set(targets);
  for (const { proto } of nodes) {
    if (
      !nonDifferentiable.has(operatorName(proto)) &&
      proto.input.some((input) => found.has(input))
    ) {
      proto.output
        .filter((output) => output !== '' && floatTypes.has(types.of(output)))
        .forEach((output) => found.add(output));
    }
  }
  return found;
}

/** Nodes whose outputs aren't in `outputs` and aren't read by any other node. */
function findUnread(nodes: readonly NodeProto[], kept: Iterable<Value>): ReadonlySet<NodeProto> {
  const read = new Set(kept);
  return new Set(
    nodes.toReversed().filter(({ input, output }) => {
      const isUnread = !output.some((value) => read.has(value));
      if (!isUnread) {
        input.forEach((value) => read.add(value));
      }
      return isUnread;
    }),
  );
}

function requireRule(node: NodeProto) {
  const name = operatorName(node);
  const rule = gradientRules[name];
  if (rule === undefined) {
    throw new UserError(
      'gradient-missing',
      say`The operator ${name} has no gradient, so nothing before it can be trained.`,
      {
        field: nodeName(node),
        remedy: say`Freeze the parameters before it, or export the model in basic ONNX operators.`,
      },
    );
  }
  return rule;
}

function nodeName({ name, output }: NodeProto): string {
  return name === '' ? (output[0] ?? '') : name;
}

/** Gradient rule of every differentiable operator, by ONNX operator name. */
export const gradientRules: Readonly<Record<string, Rule>> = {
  ...elementwiseRules,
  ...linearRules,
  ...convolutionRules,
  ...poolingRules,
  ...normalizationRules,
  ...reductionRules,
  ...indexingRules,
  ...shapeGradientRules,
};
