import { activations } from '../models/parts/activations';
import { operatorName, findSkipNorm } from '../models/onnx/graph-index';
import type { SkipNorm } from '../models/onnx/graph-index';
import { renameOutputs } from '../models/onnx/edits/node-edits';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { GraphBase, Value } from '../onnx/graph-builder';
import { normalizationNodes, sumNodes } from '../onnx/normalization-nodes';
import type { NodeProto } from '../onnx/proto/onnx_pb';

/** Activations that ONNX Runtime fuses, with or without a bias. */
const fusedActivations: Readonly<Record<string, string>> = {
  'com.microsoft:BiasGelu': 'gelu',
  'com.microsoft:Gelu': 'gelu',
  'com.microsoft:FastGelu': 'gelu_new',
};

/** Replaces ONNX Runtime's fused operators in a float32 graph by basic operators that have gradients. */
export function replaceFused(base: GraphBase): GraphBase {
  const builder = GraphBuilder.over('unfused', { ...base, nodes: [], reserved: namesIn(base) });
  const nodes = base.nodes.flatMap((node) => {
    const activate = activations[fusedActivations[operatorName(node)] ?? ''];
    const skipNorm = findSkipNorm(node);
    return activate !== undefined
      ? activationNodes(builder, node, activate)
      : skipNorm !== undefined
        ? skipNormNodes(node, skipNorm, builder.opset)
        : [node];
  });
  const known = new Set(base.weights.map(({ name }) => name));
  const constants = builder.graph.initializer.filter(({ name }) => !known.has(name));
  return { ...base, nodes, constants };
}

function namesIn({ nodes, weights }: GraphBase): string[] {
  return [
    ...nodes.flatMap(({ name, output }) => [name, ...output]),
    ...weights.map(({ name }) => name),
  ];
}

function activationNodes(
  builder: GraphBuilder,
  { input: [x = '', bias = ''], output: [given = ''] }: NodeProto,
  activate: (graph: GraphBuilder, x: Value) => Value,
): NodeProto[] {
  const { result, nodes } = builder.recorded(() =>
    builder.within(given, () => activate(builder, bias === '' ? x : builder.op('Add', [x, bias]))),
  );
  return renameOutputs(nodes, [result], [given]);
}

function skipNormNodes(node: NodeProto, { terms, sum }: SkipNorm, opset: number): NodeProto[] {
  const name = sum === '' ? `${node.output[0] ?? ''}/sum` : sum;
  return [...sumNodes(terms, name), ...normalizationNodes(node, name, opset, DataType.FLOAT)];
}
