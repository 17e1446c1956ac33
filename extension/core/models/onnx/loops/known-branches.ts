import { create } from '@bufbuild/protobuf';
import { copyWith } from '../../../onnx/messages';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  NodeProtoSchema,
} from '../../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto } from '../../../onnx/proto/onnx_pb';
import { renameInputs } from '../edits/node-edits';
import { GraphIndex, operatorName } from '../graph-index';
import { ValueShapes } from '../values/value-shapes';

/**
 * Nodes of unrolled steps, with each If on a known condition replaced by the branch taken. A body may contain different
 * layers depending on the step number.
 * @param around the graph that contains them
 */
export function takeKnownBranches(
  nodes: readonly NodeProto[],
  around: (nodes: readonly NodeProto[]) => GraphProto,
  file: string,
): readonly NodeProto[] {
  let taken = nodes;
  while (taken.some(isChoice)) {
    const graph = around(taken);
    const shapes = new ValueShapes(graph, new GraphIndex(graph, file));
    const next = taken.flatMap((node) => {
      const branch = isChoice(node) ? branchTaken(node, shapes) : undefined;
      return branch === undefined ? [node] : inlined(node, branch);
    });
    if (next.every((node) => taken.includes(node))) {
      return taken;
    }
    taken = next;
  }
  return taken;
}

const isChoice = (node: NodeProto): boolean => operatorName(node) === 'If';

function branchTaken(
  { input: [condition = ''], attribute }: NodeProto,
  shapes: ValueShapes,
): GraphProto | undefined {
  const [value] = shapes.contents(condition) ?? [];
  const name = value === 1 ? 'then_branch' : 'else_branch';
  const branch = attribute.find((one) => one.name === name)?.g;
  const isKnown = value === 0 || value === 1;
  return isKnown && branch?.sparseInitializer.length === 0 ? branch : undefined;
}

/** Nodes of a branch with renamed values; they produce the outputs of the If. */
function inlined(choice: NodeProto, branch: GraphProto): NodeProto[] {
  const scope = choice.output.find((name) => name !== '') ?? '';
  const own = [...branch.initializer, ...branch.node.flatMap(({ output }) => output)]
    .map((one) => (typeof one === 'string' ? one : one.name))
    .filter((name) => name !== '');
  const names = new Map(own.map((name) => [name, `${scope}/${name}`]));
  const of = (name: string): string => names.get(name) ?? name;
  const constants = branch.initializer.map((tensor) =>
    create(NodeProtoSchema, {
      opType: 'Constant',
      output: [of(tensor.name)],
      attribute: [
        create(AttributeProtoSchema, { name: 'value', type: AttributeType.TENSOR, t: tensor }),
      ],
    }),
  );
  const nodes = branch.node.map((node) =>
    copyWith(renameInputs(node, of), {
      name: `${scope}/${node.name === '' ? (node.output[0] ?? '') : node.name}`,
      output: node.output.map(of),
    }),
  );
  const results = branch.output.map(({ name }, place) =>
    create(NodeProtoSchema, {
      opType: 'Identity',
      input: [of(name)],
      output: [choice.output[place] ?? ''],
    }),
  );
  return [...constants, ...nodes, ...results.filter(({ output: [name] }) => name !== '')];
}
