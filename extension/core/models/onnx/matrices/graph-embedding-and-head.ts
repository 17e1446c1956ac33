import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import { idsPort } from '../../example';
import type { EmbeddingOrHead } from '../../matrix-encoding';
import { isFloat, lazyTensor } from './graph-linears';
import type { CutGraph } from '../graph-stages';
import { WeightReaders } from './linear-weights';
import type { LinearWeight, TableUse, WeightUses } from './linear-weights';
import type { OnnxModel } from '../stream/graph-stream';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import type { GraphIndex } from '../graph-index';
import { intAttribute } from '../graph-index';

/** The embedding of a graph, with the nodes that look its rows up. */
export interface GraphTable extends EmbeddingOrHead {
  readonly table: TableUse;
}

/** A matrix of the head of a graph, with its products. */
export interface GraphHead extends EmbeddingOrHead {
  readonly use: LinearWeight;
}

export type GraphEmbeddingOrHead = GraphTable | GraphHead;

/** First opset with BitShift, which unpacks 4-bit numbers. */
const oldestOpset = 11;

/** Finds the token embedding and the matrices used only after the last sublayer. */
export function findGraphEmbeddingAndHead(
  source: OnnxModel,
  cut: CutGraph,
): GraphEmbeddingOrHead[] {
  const { file, place, index, summary, branches } = source;
  const last = branches.at(-1);
  if (summary.opset < oldestOpset || last === undefined) {
    return [];
  }
  const readers = new WeightReaders(
    place?.wrapping.parentGraph ?? file.graph,
    () => 'it is part of an attention',
  );
  const tables = findTokenTables(source);
  const behind = new Set([...index.descendants([last.end])].map(({ proto }) => proto));
  const modeNodes = new Set(index.nodes.map(({ proto }) => proto));
  // The part of the last sublayer also computes nodes after it.
  const parts = [...cut.over.slice(-1), cut.epilogue];
  const names = new Set([...tables, ...parts.flatMap(({ weights }) => [...weights])]);
  return [...names].flatMap((name): GraphEmbeddingOrHead[] => {
    const data = file.initializers.get(name);
    const [weight] = data?.dims.length === 2 && isFloat(data) ? lazyTensor(data) : [];
    const uses = data && weight && readers.usesOf(name, data);
    if (weight === undefined || uses === undefined || typeof uses === 'string') {
      return [];
    }
    const { lookups, products } = uses;
    const isElsewhere =
      (lookups !== undefined && !tables.has(name)) ||
      products?.products.some(({ node }) => modeNodes.has(node) && !behind.has(node)) === true;
    return isElsewhere ? [] : embeddingAndHeadMatrices(name, weight, uses);
  });
}

/** Returns one matrix per use. A tied LM head gets its own id. */
function embeddingAndHeadMatrices(
  name: string,
  weight: LazyTensor,
  { lookups, products }: WeightUses,
): GraphEmbeddingOrHead[] {
  const headId = lookups === undefined ? name : `${name}:head`;
  const [rows = 0, columns = 0] = weight.shape;
  const isBoth = lookups !== undefined && products !== undefined;
  const found: GraphEmbeddingOrHead[] = [];
  if (lookups !== undefined) {
    const tie = isBoth ? { tiedTo: headId } : {};
    const sizes = { out: rows, in: columns, transposed: false };
    found.push({ id: name, place: 'embedding', weight, ...sizes, ...tie, table: lookups });
  }
  if (products !== undefined) {
    const tie = isBoth ? { tiedTo: name } : {};
    const { transposed } = products;
    const [out, input] = transposed ? [columns, rows] : [rows, columns];
    const sizes = { out, in: input, transposed };
    found.push({ id: headId, place: 'head', weight, ...sizes, ...tie, use: products });
  }
  return found;
}

/** Tables that token ids index; empty if one is quantized with separate scales. */
function findTokenTables({ file, index, summary }: OnnxModel): Set<string> {
  const ids = idsPort(summary.inputs);
  const tables = ids === undefined ? [] : findLookups(index, ids.name).map(({ table }) => table);
  const isPlain = tables.every((name) => {
    const data = file.initializers.get(name);
    return data !== undefined && isFloat(data);
  });
  return new Set(isPlain ? tables : []);
}

/** Gather that selects rows by ids. */
interface Lookup {
  readonly node: NodeProto;
  /** Initializer of the table, possibly before a cast. */
  readonly table: string;
}

/** Nodes that hand ids on to where they are looked up. */
const idNodes = /^(?:Cast|Identity|Reshape|Squeeze|Unsqueeze)$/;

/** Returns the tables that an input of ids indexes. */
function findLookups(index: GraphIndex, ids: string): Lookup[] {
  return index.consumersOf(ids).flatMap(({ op, proto, outputs }) => {
    const [first = '', second] = proto.input;
    if (op === 'Gather' && second === ids) {
      return [{ node: proto, table: skipCasts(index, first) }];
    }
    return idNodes.test(op) && first === ids
      ? outputs.flatMap((output) => findLookups(index, output))
      : [];
  });
}

function skipCasts(index: GraphIndex, value: string): string {
  const producer = index.producers.get(value);
  return producer !== undefined && /^(?:Cast|Identity)$/.test(producer.op)
    ? skipCasts(index, producer.proto.input[0] ?? '')
    : value;
}

/** Rows of the smallest table that each input is looked up in, by the input's name. */
export function tableRows({
  index,
  file,
}: Pick<OnnxModel, 'index' | 'file'>): Record<string, number> {
  return Object.fromEntries(
    index.inputs.flatMap(({ name }) => {
      const rows = findLookups(index, name).flatMap(
        ({ node, table }) =>
          file.initializers.get(table)?.dims[intAttribute(node, 'axis', 0)] ?? [],
      );
      return rows.length === 0 ? [] : [[name, Math.min(...rows)]];
    }),
  );
}
