import { create } from '@bufbuild/protobuf';
import { nestedGraphs } from '../../checkpoints/nested-weights';
import type { OnnxFile } from '../../checkpoints/onnx-file';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { AttributeProtoSchema, GraphProtoSchema, NodeProtoSchema } from '../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto } from '../../onnx/proto/onnx_pb';
import { UserError } from '../../user-error';
import { emitForm } from '../forms/emit-form';
import { formMemory, formTensors, mapTensors } from '../forms/form-facts';
import type { MatrixForm } from '../matrix-form';
import { additionsTo, freeName, namesIn, withAdditions } from './graph-additions';
import type { GraphLinear } from './graph-linears';
import { operatorName } from './graph-index';
import { floatAttribute } from './node-attributes';

/** From this opset on, Reshape can be told that 0 is a size. */
const explicitZeros = 14;
const blockwiseOpset = 21;
const float32: number = DataType.FLOAT;

/** A file whose products are made otherwise. */
interface EditedFile {
  readonly file: OnnxFile;
  /** Bytes that the weights of forms take where they run, those of each form under its first. */
  readonly memory: ReadonlyMap<string, number>;
}

/**
 * A file some of whose products are made in another form. Nodes and weights that only they needed are
 * gone; the weights of the forms stay in the files that they lie in.
 * @param outer the main graph of the file
 * @throws UserError for a form that the file's operator sets cannot say.
 */
export function editMatrices(
  file: OnnxFile,
  outer: GraphProto,
  layers: readonly GraphLinear[],
  forms: ReadonlyMap<string, MatrixForm>,
): EditedFile {
  const memory = new Map<string, number>();
  const names = namesIn(outer);
  const builder = additionsTo(file, names);
  const replaced = new Map<NodeProto, readonly NodeProto[]>();
  for (const layer of layers) {
    const form = forms.get(layer.id);
    if (form !== undefined) {
      requireOpset(form, builder.opset, file.path);
      const own = mapTensors(form, (tensor) => ({ ...tensor, name: freeName(tensor.name, names) }));
      formTensors(own).forEach(({ name }, i) => memory.set(name, i === 0 ? formMemory(own) : 0));
      for (const node of layer.use.nodes) {
        replaced.set(node, replaceProduct(builder, layer, own, node));
      }
      layer.use.between.forEach((node) => replaced.set(node, []));
    }
  }
  const node = replaceNodes(outer.node, replaced);
  const isKept = (name: string): boolean => !forms.has(name);
  const graph = create(GraphProtoSchema, { ...outer, node });
  return { file: withAdditions(file, graph, builder, isKept), memory };
}

/** Standard operators can only say blocks from opset 21 on, and older nodes of the file are not rewritten. */
function requireOpset(form: MatrixForm, opset: number, file: string): void {
  const parts = form.kind === 'low-rank' ? [form.left, form.right] : [];
  parts.forEach((part) => {
    requireOpset(part, opset, file);
  });
  if (form.kind === 'block-quantized' && form.run === 'qdq' && opset < blockwiseOpset) {
    throw new UserError(
      `Blocks in standard operators need opset ${blockwiseOpset}, and the graph is of opset ${opset}.`,
      {
        file,
        remedy: `Choose MatMulNBits, or export the model with opset ${blockwiseOpset}.`,
      },
    );
  }
}

/** The nodes that give what a MatMul or Gemm gives, under the same name. */
function replaceProduct(
  builder: GraphBuilder,
  layer: GraphLinear,
  form: MatrixForm,
  node: NodeProto,
): NodeProto[] {
  const [given = ''] = node.output;
  const { result, nodes } = builder.recorded(() =>
    builder.within(layer.id, () =>
      operatorName(node) === 'Gemm'
        ? emitGemm(builder, layer, form, node)
        : emitMatMul(builder, layer, form, node),
    ),
  );
  return nodes.map((one) =>
    create(NodeProtoSchema, {
      ...one,
      output: one.output.map((name) => (name === result ? given : name)),
    }),
  );
}

/** rows [rows, in] · Wᵀ in the type of the rows. */
function emitRows(
  builder: GraphBuilder,
  { use: { dataType } }: GraphLinear,
  form: MatrixForm,
  rows: Value,
): Value {
  if (dataType === float32) {
    return emitForm(builder, form, rows);
  }
  const wide = builder.op('Cast', [rows], { to: DataType.FLOAT });
  return builder.op('Cast', [emitForm(builder, form, wide)], { to: dataType });
}

/** x [..., in] · Wᵀ, whatever the rank of x. */
function emitMatMul(
  builder: GraphBuilder,
  layer: GraphLinear,
  form: MatrixForm,
  { input: [x = ''] }: NodeProto,
): Value {
  const leading = builder.op('Slice', [
    builder.op('Shape', [x]),
    builder.ints([0]),
    builder.ints([-1]),
  ]);
  const rows = builder.op('Reshape', [x, builder.ints([-1, layer.in])]);
  const size = builder.op('Concat', [leading, builder.ints([layer.out])], { axis: 0 });
  const zeros = builder.opset >= explicitZeros ? { allowzero: 1 } : {};
  return builder.op('Reshape', [emitRows(builder, layer, form, rows), size], zeros);
}

/** alpha · x·Wᵀ + beta · c */
function emitGemm(
  builder: GraphBuilder,
  layer: GraphLinear,
  form: MatrixForm,
  node: NodeProto,
): Value {
  const [x = '', , c = ''] = node.input;
  const times = (value: Value, factor: number): Value =>
    factor === 1
      ? value
      : builder.op('Mul', [
          value,
          builder.op('Cast', [builder.scalar(factor)], { to: layer.use.dataType }),
        ]);
  const product = times(emitRows(builder, layer, form, x), floatAttribute(node, 'alpha', 1));
  return c === ''
    ? product
    : builder.op('Add', [product, times(c, floatAttribute(node, 'beta', 1))]);
}

/** Nodes in whose place others stand, also in nested graphs; what holds none of them stays the same. */
function replaceNodes(
  nodes: readonly NodeProto[],
  replaced: ReadonlyMap<NodeProto, readonly NodeProto[]>,
): NodeProto[] {
  return nodes.flatMap((node) => {
    const own = replaced.get(node);
    if (own !== undefined) {
      return [...own];
    }
    const inner = nestedGraphs(node).flatMap((graph) => graph.node);
    return holdsAny(inner, replaced) ? [withInner(node, replaced)] : [node];
  });
}

function holdsAny(nodes: readonly NodeProto[], replaced: ReadonlyMap<NodeProto, unknown>): boolean {
  return nodes.some(
    (node) =>
      replaced.has(node) || nestedGraphs(node).some((graph) => holdsAny(graph.node, replaced)),
  );
}

function withInner(
  node: NodeProto,
  replaced: ReadonlyMap<NodeProto, readonly NodeProto[]>,
): NodeProto {
  const inner = (graph: GraphProto): GraphProto =>
    create(GraphProtoSchema, { ...graph, node: replaceNodes(graph.node, replaced) });
  return create(NodeProtoSchema, {
    ...node,
    domain: node.domain,
    attribute: node.attribute.map((one) =>
      create(AttributeProtoSchema, {
        ...one,
        ...(one.g === undefined ? {} : { g: inner(one.g) }),
        graphs: one.graphs.map(inner),
      }),
    ),
  });
}
