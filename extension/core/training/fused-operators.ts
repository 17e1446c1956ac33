import { activations } from '../models/feedforward';
import { operatorName } from '../models/onnx/graph-index';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { GraphBase, Value } from '../onnx/graph-builder';
import { copyWith } from '../onnx/messages';
import { normalizationNodes, sumNodes } from '../onnx/normalization-nodes';
import type { NodeProto } from '../onnx/proto/onnx_pb';

/** Activations that ONNX Runtime fuses, with a bias of their own or none. */
const fusedActivations: Readonly<Record<string, string>> = {
  'com.microsoft:BiasGelu': 'gelu',
  'com.microsoft:Gelu': 'gelu',
  'com.microsoft:FastGelu': 'gelu_new',
};
const skipNorms: ReadonlySet<string> = new Set([
  'com.microsoft:SkipLayerNormalization',
  'com.microsoft:SkipSimplifiedLayerNormalization',
]);

/** A float32 graph without the operators of ONNX Runtime that basic ones with gradients can stand for. */
export function withoutFused(base: GraphBase): GraphBase {
  const builder = GraphBuilder.over('unfused', { ...base, nodes: [], reserved: namesIn(base) });
  const nodes = base.nodes.flatMap((node) => {
    const op = operatorName(node);
    const activate = activations[fusedActivations[op] ?? ''];
    return activate !== undefined
      ? activationNodes(builder, node, activate)
      : skipNorms.has(op)
        ? skipNormNodes(node, builder.opset)
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
  return nodes.map((node) =>
    copyWith(node, {
      output: node.output.map((name) => (name === result ? given : name)),
    }),
  );
}

function skipNormNodes(node: NodeProto, opset: number): NodeProto[] {
  const [x = '', skip = '', , ...rest] = node.input;
  const bias = rest[node.opType === 'SkipLayerNormalization' ? 1 : 0] ?? '';
  const sum = node.output[3] ?? '';
  const name = sum === '' ? `${node.output[0] ?? ''}/sum` : sum;
  return [
    ...sumNodes(bias === '' ? [x, skip] : [x, skip, bias], name),
    ...normalizationNodes(node, name, opset, DataType.FLOAT),
  ];
}
