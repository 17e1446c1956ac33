import { blockName } from '../blocks';
import { strings } from './strings';
import type {
  BlockDescription,
  ComponentKind,
  ModelDescription,
  PartDescription,
  StoredTensor,
  SublayerDescription,
} from './types';

/** A row of the tree with its children, which are created on demand: an MoE model has 50,000. */
export interface TreeNode {
  /** Unique in the tree. */
  readonly id: string;
  readonly label: string;
  /** 1 for those at the top. */
  readonly level: number;
  readonly parent: TreeNode | undefined;
  readonly children: readonly TreeNode[];
  readonly kind: ComponentKind | 'block' | 'tensor';
  readonly dtype: string;
  readonly shape: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly flopsPerToken: number | undefined;
  readonly kvBytesPerToken: number | undefined;
  /** Number of tensors in it. */
  readonly tensors: number;
  readonly tensor: StoredTensor | undefined;
  /** Searchable text, in lower case. */
  readonly text: string;
  /** Additional remark. */
  readonly note?: string;
}

/** The embedding, the blocks, and what follows them. */
export function buildTree(model: ModelDescription): TreeNode[] {
  const isFirst = ({ part }: PartDescription): boolean => part === 'embedding';
  return [
    ...model.parts.filter(isFirst).map(partNode),
    ...model.blocks.map((block) => blockNode(block, model.facts.encoderBlocks)),
    ...model.parts.filter((part) => !isFirst(part)).map(partNode),
  ];
}

export function shapeText(shape: readonly number[]): string {
  return shape.join(' × ');
}

function partNode(part: PartDescription): TreeNode {
  const kvBytesPerToken = 0;
  const own = { ...part, kvBytesPerToken, kind: part.part, level: 1, parent: undefined };
  return container(`part:${part.part}`, strings.kind(part.part), own, part.tensors, (parent) =>
    part.tensors.map((tensor) => tensorNode(tensor, tensor.name, parent)),
  );
}

function blockNode(block: BlockDescription, encoderBlocks: number | undefined): TreeNode {
  const isKnown = block.id.startsWith('block.');
  const own = {
    parameters: block.parameters,
    bytes: block.bytes,
    kind: 'block' as const,
    level: 1,
    parent: undefined,
    flopsPerToken: sumKnown(block.sublayers, 'flopsPerToken'),
    kvBytesPerToken: sumKnown(block.sublayers, 'kvBytesPerToken'),
  };
  const label = isKnown ? blockName(block.index, encoderBlocks) : block.id;
  const tensors = block.sublayers.flatMap((sublayer) => sublayer.tensors);
  return container(block.id, label, own, tensors, (parent) =>
    block.sublayers.map((sublayer) => sublayerNode(sublayer, block, parent)),
  );
}

function sublayerNode(
  sublayer: SublayerDescription,
  { index }: BlockDescription,
  parent: TreeNode,
): TreeNode {
  const own = { ...sublayer, level: 2, parent };
  return container(sublayer.id, strings.kind(sublayer.kind), own, sublayer.tensors, (node) =>
    sublayer.tensors.map((tensor) => tensorNode(tensor, withoutBlock(tensor.name, index), node)),
  );
}

function tensorNode(tensor: StoredTensor, label: string, parent: TreeNode): TreeNode {
  const { name, dtype, shape, parameters, bytes } = tensor;
  return {
    id: `tensor:${name}`,
    label,
    level: parent.level + 1,
    parent,
    children: [],
    kind: 'tensor',
    dtype,
    shape: shapeText(shape),
    parameters,
    bytes,
    flopsPerToken: undefined,
    kvBytesPerToken: undefined,
    tensors: 1,
    tensor,
    get text() {
      return `${parent.text} ${name} ${dtype} ${shape.join('x')} ${shapeText(shape)}`.toLowerCase();
    },
  };
}

type Own = Pick<
  TreeNode,
  | 'kind'
  | 'level'
  | 'parent'
  | 'parameters'
  | 'bytes'
  | 'flopsPerToken'
  | 'kvBytesPerToken'
  | 'note'
>;

/** @param tensors all of those below */
function container(
  id: string,
  label: string,
  own: Own,
  tensors: readonly StoredTensor[],
  childrenOf: (parent: TreeNode) => readonly TreeNode[],
): TreeNode {
  const { kind, level, parent, parameters, bytes, flopsPerToken, kvBytesPerToken, note } = own;
  const dtypes = new Set(tensors.map(({ dtype }) => dtype));
  const [dtype = ''] = dtypes;
  let children: readonly TreeNode[] | undefined;
  const node: TreeNode = {
    ...{ id, label, level, parent, kind, parameters, bytes, flopsPerToken, kvBytesPerToken },
    ...{ shape: '', tensors: tensors.length, tensor: undefined },
    ...(note === undefined ? {} : { note }),
    dtype: dtypes.size > 1 ? strings.mixed : dtype,
    text: `${parent?.text ?? ''} ${id} ${label}`.toLowerCase().trim(),
    get children() {
      children ??= childrenOf(node);
      return children;
    },
  };
  return node;
}

/** `model.layers.3.mlp.up_proj.weight` within block 3 → `mlp.up_proj.weight` */
function withoutBlock(name: string, index: number): string {
  const at = name.indexOf(`.${index}.`);
  const start = name.startsWith(`${index}.`) ? `${index}.`.length : at + `.${index}.`.length;
  return at < 0 && !name.startsWith(`${index}.`) ? name : name.slice(start);
}

function sumKnown(
  items: readonly Pick<SublayerDescription, 'flopsPerToken' | 'kvBytesPerToken'>[],
  field: 'flopsPerToken' | 'kvBytesPerToken',
): number | undefined {
  const values = items.map((item) => item[field]);
  return values.every((value) => value !== undefined)
    ? values.reduce((sum, value) => sum + value, 0)
    : undefined;
}

/** Several rows as one that is in no tree, such as a part of a diagram. */
export function combinedNode(
  id: string,
  label: string,
  note: string,
  children: readonly TreeNode[],
): TreeNode {
  const sum = (field: 'parameters' | 'bytes'): number =>
    children.reduce((total, child) => total + child[field], 0);
  const own = {
    ...{ kind: 'other' as const, level: 1, parent: undefined },
    ...{ parameters: sum('parameters'), bytes: sum('bytes') },
    flopsPerToken: sumKnown(children, 'flopsPerToken'),
    kvBytesPerToken: sumKnown(children, 'kvBytesPerToken'),
    note,
  };
  const tensors = children.flatMap(tensorsIn).flatMap(({ tensor }) => tensor ?? []);
  return container(id, label, own, tensors, () => children);
}

/** Every tensor in a node. */
export function tensorsIn(node: TreeNode): TreeNode[] {
  return node.tensor === undefined ? node.children.flatMap(tensorsIn) : [node];
}

/** Every node, in the order of the tree. */
export function* allNodes(tree: readonly TreeNode[]): Generator<TreeNode> {
  for (const node of tree) {
    yield node;
    yield* allNodes(node.children);
  }
}

/** Every node by its id: all of them are made when it is first called. */
export function nodesById(tree: readonly TreeNode[]): () => ReadonlyMap<string, TreeNode> {
  let known: ReadonlyMap<string, TreeNode> | undefined;
  return () => {
    known ??= new Map(Array.from(allNodes(tree), (node) => [node.id, node]));
    return known;
  };
}

/** A row that is shown, with its place among its siblings that are. */
export interface VisibleRow {
  readonly node: TreeNode;
  readonly expanded: boolean;
  /** Counted from 1. */
  readonly position: number;
  readonly siblings: number;
}

/**
 * The rows that are to be seen. A search shows what matches all of its words, with all above it; what
 * lies below a match is opened as without a search.
 */
export function visibleRows(
  tree: readonly TreeNode[],
  expanded: ReadonlySet<string>,
  query: string,
): VisibleRow[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = words.length === 0 ? undefined : matching(tree, words);
  const rows: VisibleRow[] = [];
  const visit = (nodes: readonly TreeNode[]): void => {
    const shown = matches === undefined ? nodes : nodes.filter((node) => matches.has(node));
    for (const [index, node] of shown.entries()) {
      const isOpen = expanded.has(node.id) || matches?.get(node) === 'above';
      rows.push({ node, expanded: isOpen, position: index + 1, siblings: shown.length });
      if (isOpen) visit(node.children);
    }
  };
  visit(tree);
  return rows;
}

type Match = 'itself' | 'above' | 'below';

/** Nodes that match, that stand above one, or below one. */
function matching(tree: readonly TreeNode[], words: readonly string[]): Map<TreeNode, Match> {
  const found = new Map<TreeNode, Match>();
  const visit = (node: TreeNode, isBelow: boolean): boolean => {
    const isMatch = isBelow || words.every((word) => node.text.includes(word));
    if (isMatch) found.set(node, isBelow ? 'below' : 'itself');
    let above = false;
    for (const child of node.children) {
      above = visit(child, isMatch) || above;
    }
    if (!isMatch && above) found.set(node, 'above');
    return isMatch || above;
  };
  for (const node of tree) visit(node, false);
  return found;
}
