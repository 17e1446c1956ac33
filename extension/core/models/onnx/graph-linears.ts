import { runnableDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { OnnxInitializer } from '../../checkpoints/onnx-file';
import type { LinearLayer } from '../matrix-form';
import type { GraphNode } from './graph-index';
import type { CutGraph } from './graph-stages';
import { linearRole } from './linear-role';
import { WeightReaders } from './linear-weights';
import type { LinearWeight } from './linear-weights';
import type { OnnxModel } from './onnx-model';

/** A linear layer of a graph, with the nodes that it consists of. */
export interface GraphLinear extends LinearLayer {
  readonly use: LinearWeight;
  /** Those of its products that this mode of the graph makes. */
  readonly products: readonly GraphNode[];
}

/** A matrix that cannot take another form, and why. */
export interface UnusableMatrix {
  readonly name: string;
  readonly problem: string;
}

/** The matrices that sublayers of a graph read. */
export interface GraphLinears {
  readonly layers: readonly GraphLinear[];
  readonly unusable: readonly UnusableMatrix[];
}

/** Below, operators that forms are emitted in have no present form. */
export const oldestOpset = 13;

/** A layer of which it is not known yet what it is for, and all nodes that its result goes into. */
type FoundLinear = Omit<GraphLinear, 'role'> & { readonly behind: ReadonlySet<GraphNode> };

/** Finds the matrices by which one sublayer multiplies rows, and nothing else does. */
export function findGraphLinears(source: OnnxModel, cut: CutGraph): GraphLinears {
  const { file, place, index, branches } = source;
  const readers = new WeightReaders(place?.wrapping.outer ?? file.graph);
  const nodes = new Map(index.nodes.map((node) => [node.proto, node]));
  const found: FoundLinear[] = [];
  const unusable: UnusableMatrix[] = [];
  for (const [name, sublayers] of holdersOf(cut)) {
    const data = file.initializers.get(name);
    if (data?.dims.length !== 2 || !/^B?F\d/.test(data.dtype)) {
      continue;
    }
    const use = readers.of(name, data.dataType);
    const [weight] = lazyTensor(data);
    const [sublayer = 0, ...others] = sublayers;
    if (typeof use === 'string' || others.length > 0 || weight === undefined) {
      const problem = typeof use === 'string' ? use : 'several sublayers read it';
      unusable.push({
        name,
        problem:
          weight === undefined ? `its numbers are ${data.dtype} in a form of their own` : problem,
      });
      continue;
    }
    const products = use.nodes.flatMap((node) => nodes.get(node) ?? []);
    const { nodes: inside = new Set(), end = '' } = branches[sublayer] ?? {};
    // The last part makes the head's product as well, and an encoder's what its decoder reads of it.
    if (!products.every((node) => inside.has(node))) {
      continue;
    }
    const behind = index.descendants(
      products.flatMap(({ outputs }) => outputs),
      end,
    );
    if ([...behind].some((node) => node.op === 'TopK' && inside.has(node))) {
      unusable.push({ name, problem: 'it chooses experts' });
      continue;
    }
    const [rows = 0, columns = 0] = data.dims;
    const { transposed } = use;
    const [out, input] = transposed ? [columns, rows] : [rows, columns];
    const layer = { id: name, sublayer, out, in: input, weight, transposed };
    found.push({ ...layer, use, products, behind });
  }
  if (source.summary.opset < oldestOpset) {
    const problem = `the graph is of opset ${source.summary.opset}, and forms are written from ${oldestOpset} on`;
    return { layers: [], unusable: found.map(({ id }) => ({ name: id, problem })) };
  }
  return { layers: withRoles(source, found), unusable };
}

/** Which sublayers read each initializer. */
function holdersOf({ over }: CutGraph): Map<string, number[]> {
  const holders = new Map<string, number[]>();
  for (const [sublayer, { weights }] of over.entries()) {
    for (const name of weights) {
      holders.set(name, [...(holders.get(name) ?? []), sublayer]);
    }
  }
  return holders;
}

function withRoles(source: OnnxModel, found: readonly FoundLinear[]): GraphLinear[] {
  const products = new Map(
    found.flatMap((layer) => layer.products.map((node) => [node, layer.sublayer] as const)),
  );
  const inOrder = found.toSorted((a, b) => orderOf(a) - orderOf(b));
  return inOrder.map(({ behind, ...layer }) => {
    const { sublayer } = layer;
    const isLast = ![...behind].some((node) => products.get(node) === sublayer);
    const { kind = 'other' } = source.summary.sublayers[sublayer] ?? {};
    return { ...layer, role: linearRole(kind, labelsOf(layer), isLast) };
  });
}

function orderOf({ products: [first] }: FoundLinear): number {
  return first?.order ?? 0;
}

/** What tells of the module: names, and the path that dynamo notes where its names are numbers. */
function labelsOf({ id, products }: Pick<GraphLinear, 'id' | 'products'>): string[] {
  const paths = products.flatMap(({ proto: { metadataProps } }) =>
    metadataProps.flatMap(({ key, value }) => (key === 'namespace' ? [modulePath(value)] : [])),
  );
  return [id, ...products.map(({ proto }) => proto.name), ...paths];
}

/** `: Model/model.layers.0: Layer/model.layers.0.mlp.up_proj: Linear/linear: aten.linear` → the innermost module. */
function modulePath(namespace: string): string {
  const modules = namespace.split('/').map((part) => part.split(':')[0] ?? '');
  return modules.findLast((path) => path.includes('.')) ?? '';
}

/** The initializer as a tensor whose numbers can be looked at, if it is one. */
export function lazyTensor(data: OnnxInitializer): LazyTensor[] {
  const { name, dtype, dims: shape, file, offset, length, mappable } = data;
  const known = [...runnableDTypes].find((one) => one === dtype);
  return mappable && known !== undefined
    ? [{ name, dtype: known, shape, file, offset, length }]
    : [];
}
