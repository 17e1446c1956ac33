import { nestedGraphs } from '../../../checkpoints/nested-weights';
import type { OnnxFile } from '../../../checkpoints/onnx-file';
import { DataType } from '../../../onnx/graph-builder';
import type { GraphBuilder } from '../../../onnx/graph-builder';
import { copyWith, valueInfo } from '../../../onnx/messages';
import type { GraphProto, NodeProto, ValueInfoProto } from '../../../onnx/proto/onnx_pb';
import { UserError } from '../../../user-error';
import { emitLookup } from '../../encodings/emit-encoding';
import { encodingMemory, encodingTensors, mapTensors } from '../../encodings/encoding-facts';
import type { MatrixEncoding } from '../../matrix-encoding';
import { emitProduct } from './emit-product';
import { encodingMetadata } from '../stream/encoding-regions';
import { additionsTo, freeName, namesIn, withAdditions } from '../edits/graph-additions';
import type { GraphLinear } from './graph-linears';
import { renameOutputs } from '../edits/node-edits';
import { valuesRead } from '../edits/graph-remains';
import type { GraphHead, GraphEmbeddingOrHead, GraphTable } from './graph-embedding-and-head';
import type { ValueShapes } from '../values/value-shapes';
import { say } from '../../../message';

const blockwiseOpset = 21;
const float32: number = DataType.FLOAT;

type GraphMatrix = GraphLinear | GraphEmbeddingOrHead;

function nodesBetween(layer: GraphMatrix): readonly NodeProto[] {
  return 'table' in layer ? layer.table.between : layer.use.between;
}

/** A file with encoded matrices. */
interface EditedFile {
  readonly file: OnnxFile;
  /** Bytes in memory of each encoding, by the name of its first tensor. */
  readonly memory: ReadonlyMap<string, number>;
}

/**
 * Returns the file with some matrices encoded. Nodes and weights that become unused are removed; the weights of the
 * encodings stay in their files.
 * @param outer the main graph of the file
 * @param shapes shapes of the values of `file`
 * @throws UserError for an encoding that the opsets of the file don't support.
 */
export function editMatrices(
  file: OnnxFile,
  outer: GraphProto,
  layers: readonly GraphMatrix[],
  forms: ReadonlyMap<string, MatrixEncoding>,
  shapes: ValueShapes,
): EditedFile {
  const memory = new Map<string, number>();
  const names = namesIn(outer);
  const changed = layers.filter(({ id }) => forms.has(id));
  const staying = layers.filter(({ id }) => !forms.has(id));
  const remainingNames = new Set(staying.map(({ weight }) => weight.name));
  const removedNames = new Set(
    changed
      .flatMap(({ weight, encoding }) =>
        encoding === undefined ? [weight] : encodingTensors(encoding),
      )
      .map(getName)
      .filter((name) => !remainingNames.has(name)),
  );
  removedNames.forEach((name) => names.delete(name));
  const builder = additionsTo(file, names);
  const replaced = new Map<NodeProto, readonly NodeProto[]>();
  const widths = new Map<string, ValueInfoProto>();
  const named = new Map<MatrixEncoding, MatrixEncoding>();
  const stillRead = new Set(staying.flatMap(nodesBetween));
  for (const layer of changed) {
    const form = forms.get(layer.id);
    if (form !== undefined) {
      const own =
        named.get(form) ??
        mapTensors(form, (tensor) => ({ ...tensor, name: freeName(tensor.name, names) }));
      named.set(form, own);
      encodingTensors(own).forEach(({ name }, i) =>
        memory.set(name, i === 0 ? encodingMemory(own) : 0),
      );
      if ('table' in layer) {
        layer.table.nodes.forEach((node) => {
          replaced.set(node, replaceLookup(builder, layer, own, node));
        });
      } else {
        requireOpset(form, builder.opset, file.path);
        layer.use.products.forEach((product, number) => {
          product.others.forEach((node) => replaced.set(node, []));
          replaced.set(product.node, replaceProduct(builder, layer, own, number));
          outputInfo(product.node, layer, shapes).forEach((info) => widths.set(info.name, info));
        });
      }
      nodesBetween(layer)
        .filter((node) => !stillRead.has(node))
        .forEach((node) => replaced.set(node, []));
    }
  }
  const inner = new Set(changed.flatMap((layer) => ('sublayer' in layer ? [layer.id] : [])));
  const sublayerEncodings = new Map([...forms].filter(([id]) => inner.has(id)));
  const metadataProps = encodingMetadata(file.model, sublayerEncodings);
  const annotated = { ...file, model: copyWith(file.model, { metadataProps }) };
  const graph = withReplaced(outer, { replaced, widths });
  // Constants of the previous encoding are removed with its nodes.
  const [before, after] = [valuesRead(outer), valuesRead(graph)];
  const isKept = (name: string): boolean =>
    !removedNames.has(name) && (after.has(name) || !before.has(name));
  return { file: withAdditions(annotated, graph, builder, isKept), memory };
}

/** Standard operators can only say blocks from opset 21 on, and older nodes of the file are not rewritten. */
function requireOpset(form: MatrixEncoding, opset: number, file: string): void {
  const parts = form.kind === 'low-rank' ? [form.left, form.right] : [];
  parts.forEach((part) => {
    requireOpset(part, opset, file);
  });
  if (form.kind === 'group-quantized' && form.run === 'qdq' && opset < blockwiseOpset) {
    throw new UserError(
      'opset-too-old',
      say`Groups in standard operators need opset ${blockwiseOpset}, but the graph has opset ${opset}.`,
      {
        file,
        remedy: say`Choose MatMulNBits, or export the model with opset ${blockwiseOpset}.`,
      },
    );
  }
}

/** Nodes that replace a layer's matmul and keep its output names. */
function replaceProduct(
  builder: GraphBuilder,
  layer: GraphLinear | GraphHead,
  form: MatrixEncoding,
  number: number,
): NodeProto[] {
  const { result, nodes } = builder.recorded(() =>
    builder.within(layer.id, () => emitProduct(builder, layer, form, number)),
  );
  return renameOutputs(nodes, result, layer.use.products[number]?.node.output ?? []);
}

/** Nodes that replace a Gather and keep its output name and type. */
function replaceLookup(
  builder: GraphBuilder,
  { id, table: { dataType } }: GraphTable,
  form: MatrixEncoding,
  { input: [, ids = ''], output }: NodeProto,
): NodeProto[] {
  const { result, nodes } = builder.recorded(() =>
    builder.within(id, () => {
      const rows = emitLookup(builder, form, ids);
      return dataType === float32 ? rows : builder.op('Cast', [rows], { to: dataType });
    }),
  );
  return renameOutputs(nodes, [result], output);
}

/**
 * Value info of the output of a matmul with the width of its matrix. ONNX Runtime doesn't infer shapes through the
 * Reshape that gives rows their shape back, and GroupQueryAttention takes its heads from the width.
 */
function outputInfo(
  { output: [output = ''] }: NodeProto,
  { out, use: { dataType } }: GraphLinear | GraphHead,
  shapes: ValueShapes,
): ValueInfoProto[] {
  const shape = shapes.of(output);
  const sizes = shape?.map((_, axis) => (axis === shape.length - 1 ? out : undefined));
  return shape?.at(-1) === out ? [valueInfo(output, dataType, sizes)] : [];
}

/** Changes to the nodes of a graph and its nested graphs. */
interface Changes {
  /** Replacements of nodes. */
  readonly replaced: ReadonlyMap<NodeProto, readonly NodeProto[]>;
  /** Value infos of their outputs, by name. */
  readonly widths: ReadonlyMap<string, ValueInfoProto>;
}

/** Graph with replaced nodes; nested graphs without changes are reused. */
function withReplaced(graph: GraphProto, changes: Changes): GraphProto {
  const { replaced, widths } = changes;
  const node = graph.node.flatMap((one) => {
    const inner = nestedGraphs(one).flatMap((nested) => nested.node);
    return replaced.get(one) ?? (holdsAny(inner, replaced) ? [withInner(one, changes)] : [one]);
  });
  const declared = new Set([...graph.valueInfo, ...graph.output].map(getName));
  const made = graph.node.filter((one) => replaced.has(one)).flatMap(({ output }) => output);
  const added = made
    .filter((name) => !declared.has(name))
    .flatMap((name) => widths.get(name) ?? []);
  return copyWith(graph, { node, valueInfo: [...graph.valueInfo, ...added] });
}

function holdsAny(nodes: readonly NodeProto[], replaced: ReadonlyMap<NodeProto, unknown>): boolean {
  return nodes.some(
    (node) =>
      replaced.has(node) || nestedGraphs(node).some((graph) => holdsAny(graph.node, replaced)),
  );
}

function withInner(node: NodeProto, changes: Changes): NodeProto {
  return copyWith(node, {
    attribute: node.attribute.map((one) =>
      copyWith(one, {
        ...(one.g === undefined ? {} : { g: withReplaced(one.g, changes) }),
        graphs: one.graphs.map((graph) => withReplaced(graph, changes)),
      }),
    ),
  });
}

function getName({ name }: { readonly name: string }): string {
  return name;
}
