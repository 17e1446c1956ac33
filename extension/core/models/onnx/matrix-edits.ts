import { create } from '@bufbuild/protobuf';
import { dataTypeName } from '../../checkpoints/onnx-data-types';
import { nestedGraphs } from '../../checkpoints/nested-weights';
import type { OnnxFile, OnnxInitializer } from '../../checkpoints/onnx-file';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { ExternalData, Value } from '../../onnx/graph-builder';
import { externalTensor } from '../../onnx/messages';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
} from '../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto, TensorProto } from '../../onnx/proto/onnx_pb';
import { UserError } from '../../user-error';
import { emitForm } from '../forms/emit-form';
import { emitLookup } from '../forms/emit-lookup';
import { formMemory, formTensors, mapTensors } from '../forms/form-facts';
import type { MatrixForm } from '../matrix-form';
import type { GraphLinear } from './graph-linears';
import type { GraphOuter } from './graph-outer';
import { operatorName } from './graph-index';
import { floatAttribute } from './node-attributes';

/** From this opset on, Reshape can be told that 0 is a size. */
const explicitZeros = 14;
const blockwiseOpset = 21;
const float32: number = DataType.FLOAT;

type GraphMatrix = GraphLinear | GraphOuter;

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
  layers: readonly GraphMatrix[],
  forms: ReadonlyMap<string, MatrixForm>,
): EditedFile {
  const memory = new Map<string, number>();
  const names = namesIn(outer);
  const builder = GraphBuilder.over('forms', {
    nodes: [],
    inputs: [],
    outputs: [],
    constants: [],
    weights: [],
    opsets: file.model.opsetImport,
    reserved: names,
  });
  const replaced = new Map<NodeProto, readonly NodeProto[]>();
  const named = new Map<MatrixForm, MatrixForm>();
  for (const layer of layers) {
    const form = forms.get(layer.id);
    if (form !== undefined) {
      const own =
        named.get(form) ??
        mapTensors(form, (tensor) => ({ ...tensor, name: freeName(tensor.name, names) }));
      named.set(form, own);
      formTensors(own).forEach(({ name }, i) => memory.set(name, i === 0 ? formMemory(own) : 0));
      if (!isTable(layer)) {
        requireOpset(form, builder.opset, file.path);
      }
      for (const node of layer.use.nodes) {
        replaced.set(node, replaceReader(builder, layer, own, node));
      }
    }
  }
  const staying = layers.filter(({ id }) => !forms.has(id));
  const read = new Set(staying.flatMap(({ use }) => use.between));
  const gone = new Set(
    layers.flatMap(({ id, weight, use }) => {
      const free = forms.has(id) ? use.between.filter((node) => !read.has(node)) : [];
      free.forEach((node) => replaced.set(node, []));
      return forms.has(id) ? [weight.name] : [];
    }),
  );
  staying.forEach(({ weight }) => gone.delete(weight.name));
  const { externalData, opsetImports } = builder;
  const placed = new Set(externalData.map(({ name }) => name));
  const constants = builder.graph.initializer.filter(({ name }) => !placed.has(name));
  const node = replaceNodes(outer.node, replaced);
  const added = [...externalData.map(stored), ...constants.map((tensor) => inline(tensor, file))];
  const initializers = [...file.initializers.values()].filter(({ name }) => !gone.has(name));
  const graph = create(GraphProtoSchema, {
    ...outer,
    node,
    initializer: [
      ...outer.initializer.filter(({ name }) => !gone.has(name)),
      ...externalData.map((data) => externalTensor(data, { location: '', offset: 0 })),
      ...constants,
    ],
  });
  const edited = {
    ...file,
    graph,
    model: create(ModelProtoSchema, { ...file.model, graph, opsetImport: [...opsetImports] }),
    initializers: new Map([...initializers, ...added].map((data) => [data.name, data])),
    files: [...new Set([...file.files, ...externalData.map((data) => data.file)])],
  };
  return { file: edited, memory };
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

function isTable(layer: GraphMatrix): boolean {
  return 'place' in layer && layer.place === 'embedding';
}

/** The nodes that give what a MatMul, Gemm or Gather gives, under the same name. */
function replaceReader(
  builder: GraphBuilder,
  layer: GraphMatrix,
  form: MatrixForm,
  node: NodeProto,
): NodeProto[] {
  const [given = ''] = node.output;
  const emit = isTable(layer) ? emitGather : operatorName(node) === 'Gemm' ? emitGemm : emitMatMul;
  const { result, nodes } = builder.recorded(() =>
    builder.within(layer.id, () => emit(builder, layer, form, node)),
  );
  return nodes.map((one) =>
    create(NodeProtoSchema, {
      ...one,
      output: one.output.map((name) => (name === result ? given : name)),
    }),
  );
}

/** Rows of a table in its type. */
function emitGather(
  builder: GraphBuilder,
  { use: { dataType } }: GraphMatrix,
  form: MatrixForm,
  { input: [, ids = ''] }: NodeProto,
): Value {
  const rows = emitLookup(builder, form, ids);
  return dataType === float32 ? rows : builder.op('Cast', [rows], { to: dataType });
}

/** rows [rows, in] · Wᵀ in the type of the rows. */
function emitRows(
  builder: GraphBuilder,
  { use: { dataType } }: GraphMatrix,
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
  layer: GraphMatrix,
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
  layer: GraphMatrix,
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

function namesIn(graph: GraphProto): Set<string> {
  const names = new Set<string>();
  const collect = ({ input, initializer, node }: GraphProto): void => {
    [...input, ...initializer].forEach(({ name }) => names.add(name));
    for (const one of node) {
      [one.name, ...one.output].forEach((name) => names.add(name));
      nestedGraphs(one).forEach(collect);
    }
  };
  collect(graph);
  return names;
}

/** The name, or one made of it that nothing has; it is taken from now on. */
function freeName(wanted: string, names: Set<string>): string {
  let name = wanted;
  for (let count = 1; names.has(name); count++) {
    name = `${wanted}.${count}`;
  }
  names.add(name);
  return name;
}

function stored(data: ExternalData): OnnxInitializer {
  const { name, dataType, shape: dims, file, offset, length } = data;
  const dtype = dataTypeName(dataType);
  return { name, dataType, dtype, dims, file, offset, length, inline: undefined, mappable: true };
}

function inline(tensor: TensorProto, { path: file }: OnnxFile): OnnxInitializer {
  const { name, dataType } = tensor;
  return {
    name,
    dataType,
    dtype: dataTypeName(dataType),
    dims: tensor.dims.map(Number),
    file,
    offset: 0,
    length: tensor.rawData.length,
    inline: tensor,
    mappable: false,
  };
}
