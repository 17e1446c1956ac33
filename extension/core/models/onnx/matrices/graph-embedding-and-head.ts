import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import { idsPort } from '../../example';
import type { EmbeddingOrHead } from '../../matrix-encoding';
import { isFloat, lazyTensor } from './graph-linears';
import type { CutGraph } from '../graph-stages';
import { WeightReaders } from './linear-weights';
import type { LinearWeight, TableUse, WeightUses } from './linear-weights';
import { findLookups } from './lookups';
import type { OnnxModel } from '../stream/graph-stream';

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
