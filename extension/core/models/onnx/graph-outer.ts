import { idsPort } from '../example';
import type { OuterMatrix, OuterPlace } from '../matrix-form';
import type { GraphIndex, GraphNode } from './graph-index';
import { lazyTensor, oldestOpset } from './graph-linears';
import type { CutGraph } from './graph-stages';
import { WeightReaders } from './linear-weights';
import type { LinearWeight, WeightUses } from './linear-weights';
import type { OnnxModel } from './onnx-model';

/** An embedding or a head of a graph, with the nodes that it consists of. */
export interface GraphOuter extends OuterMatrix {
  readonly use: LinearWeight;
}

/** Nodes that hand token ids on to where they are looked up. */
const idNodes = /^(?:Cast|Identity|Reshape|Squeeze|Unsqueeze)$/;

/** The table that token ids are looked up in, and the matrices that only what is behind the last sublayer multiplies by. */
export function findGraphOuter(source: OnnxModel, cut: CutGraph): GraphOuter[] {
  const { file, place, index, summary, branches } = source;
  const last = branches.at(-1);
  if (summary.opset < oldestOpset || last === undefined) {
    return [];
  }
  const readers = new WeightReaders(place?.wrapping.outer ?? file.graph);
  const nodes = new Map(index.nodes.map((node) => [node.proto, node]));
  const own = ({ nodes: found }: LinearWeight): GraphNode[] =>
    found.flatMap((node) => nodes.get(node) ?? []);
  const tables = tablesOfIds(source);
  const behind = index.descendants([last.end]);
  // The part over the last sublayer makes what is behind it, too.
  const parts = [...cut.over.slice(-1), cut.epilogue];
  const names = new Set([...tables, ...parts.flatMap(({ weights }) => [...weights])]);
  return [...names].flatMap((name): GraphOuter[] => {
    const data = file.initializers.get(name);
    const [weight] = data?.dims.length === 2 && /^B?F\d/.test(data.dtype) ? lazyTensor(data) : [];
    const uses = data && weight && readers.usesOf(name, data.dataType);
    if (weight === undefined || uses === undefined || typeof uses === 'string') {
      return [];
    }
    const { lookups, products } = uses;
    const isElsewhere =
      (lookups !== undefined && !tables.has(name)) ||
      (products !== undefined && !own(products).every((node) => behind.has(node)));
    return isElsewhere ? [] : outerOf(name, weight, uses);
  });
}

/** One for each use; a head that is the embedding has no name of its own. */
function outerOf(
  name: string,
  weight: OuterMatrix['weight'],
  { lookups, products }: WeightUses,
): GraphOuter[] {
  const headId = lookups === undefined ? name : `${name}:head`;
  const [rows = 0, columns = 0] = weight.shape;
  const matrix = (
    id: string,
    place: OuterPlace,
    use: LinearWeight | undefined,
    tiedTo: string | undefined,
  ): GraphOuter[] => {
    if (use === undefined) {
      return [];
    }
    const { transposed } = use;
    const [out, input] = transposed ? [columns, rows] : [rows, columns];
    const tie = tiedTo === undefined ? {} : { tiedTo };
    return [{ id, place, out, in: input, weight, transposed, ...tie, use }];
  };
  const isBoth = lookups !== undefined && products !== undefined;
  return [
    ...matrix(name, 'embedding', lookups, isBoth ? headId : undefined),
    ...matrix(headId, 'head', products, isBoth ? name : undefined),
  ];
}

function tablesOfIds({ index, summary }: OnnxModel): Set<string> {
  const ids = idsPort(summary.inputs);
  return new Set(ids === undefined ? [] : tablesOf(index, ids.name));
}

function tablesOf(index: GraphIndex, ids: string): string[] {
  return index.consumersOf(ids).flatMap(({ op, proto, outputs }) => {
    const [first = '', second] = proto.input;
    if (op === 'Gather' && second === ids) {
      return [sourceOf(index, first)];
    }
    return idNodes.test(op) && first === ids
      ? outputs.flatMap((output) => tablesOf(index, output))
      : [];
  });
}

/** The initializer that a table is, or is cast from. */
function sourceOf(index: GraphIndex, value: string): string {
  const producer = index.producers.get(value);
  return producer !== undefined && /^(?:Cast|Identity)$/.test(producer.op)
    ? sourceOf(index, producer.proto.input[0] ?? '')
    : value;
}
