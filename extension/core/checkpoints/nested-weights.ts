import { create } from '@bufbuild/protobuf';
import { NodeProtoSchema } from '../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto, TensorProto } from '../onnx/proto/onnx_pb';

/** Graphs in the attributes of a node, such as the branches of an If. */
export function nestedGraphs({ attribute }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

/** Operators whose graphs see the values of the one around them. */
const nesting = new Set(['If', 'Loop', 'Scan']);

/**
 * Moves weights from the branches of If and the bodies of Loop and Scan to the surrounding graph, whose values are
 * visible inside. In a subgraph, weights can't be external data and can't be shared.
 * Renames weights whose names occur elsewhere. `isWeight` selects the constant nodes that are
 * weights. Returns the number of Constant nodes moved.
 */
export function hoistWeights(
  graph: GraphProto,
  isWeight: (tensor: TensorProto) => boolean,
): number {
  const names = new Map<string, number>();
  countNames(graph, names);
  let constants = 0;
  const visit = (nodes: readonly NodeProto[]): void => {
    for (const node of nodes) {
      for (const body of nesting.has(node.opType) ? nestedGraphs(node) : []) {
        const outputs = new Set(body.output.map(({ name }) => name));
        const found = takeConstants(body, (tensor, name) => isWeight(tensor) && !outputs.has(name));
        constants += found.length;
        // Older files list weights among the inputs as well.
        const own = new Set(body.initializer.map(({ name }) => name));
        body.input = body.input.filter(({ name }) => !own.has(name));
        graph.initializer.push(...hoist([...body.initializer, ...found], body, names));
        body.initializer = [];
        visit(body.node);
      }
    }
  };
  visit(graph.node);
  return constants;
}

/** Constant nodes of weights are taken out of a graph. */
export function takeConstants(
  graph: GraphProto,
  isWeight: (tensor: TensorProto, name: string) => boolean,
): TensorProto[] {
  const taken: TensorProto[] = [];
  graph.node = graph.node.filter(({ opType, domain, attribute, output: [name] }) => {
    const tensor = attribute.find((one) => one.name === 'value')?.t;
    if (opType !== 'Constant' || domain !== '' || name === undefined || tensor === undefined) {
      return true;
    }
    if (!isWeight(tensor, name)) {
      return true;
    }
    tensor.name = name;
    taken.push(tensor);
    return false;
  });
  return taken;
}

/** Gives the weights of a branch or body names that nothing else has, and tells it. */
function hoist(
  tensors: readonly TensorProto[],
  body: GraphProto,
  names: Map<string, number>,
): readonly TensorProto[] {
  const outputs = new Set(body.output.map(({ name }) => name));
  const renamed = new Map<string, string>();
  for (const tensor of tensors) {
    const { name } = tensor;
    if (outputs.has(name) || (names.get(name) ?? 0) > 1) {
      tensor.name = freeName(name, names);
      renamed.set(name, tensor.name);
    }
  }
  if (renamed.size > 0) {
    rename(body, renamed);
  }
  // A branch may not give a value of the graph around it as it is.
  for (const [name, input] of renamed) {
    if (outputs.has(name)) {
      body.node.push(
        create(NodeProtoSchema, { name, opType: 'Identity', input: [input], output: [name] }),
      );
    }
  }
  return tensors;
}

function freeName(name: string, names: Map<string, number>): string {
  let count = names.get(name) ?? 0;
  while (names.has(`${name}/${count}`)) {
    count++;
  }
  names.set(name, count + 1);
  names.set(`${name}/${count}`, 1);
  return `${name}/${count}`;
}

function rename(graph: GraphProto, names: ReadonlyMap<string, string>): void {
  for (const node of graph.node) {
    node.input = node.input.map((input) => names.get(input) ?? input);
    for (const inner of nestedGraphs(node)) {
      rename(inner, names);
    }
  }
}

/** Number of values with each name in a graph and its subgraphs. */
function countNames(graph: GraphProto, counts: Map<string, number>): void {
  const add = (name: string): void => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  const initializers = new Set(graph.initializer.map(({ name }) => name));
  initializers.forEach(add);
  graph.input.forEach(({ name }) => {
    if (!initializers.has(name)) {
      add(name);
    }
  });
  for (const node of graph.node) {
    node.output.forEach(add);
    for (const inner of nestedGraphs(node)) {
      countNames(inner, counts);
    }
  }
}
