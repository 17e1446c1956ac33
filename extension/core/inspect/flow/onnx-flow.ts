import { isShape, operatorName } from '../../models/onnx/graph-index';
import type { GraphIndex, GraphNode } from '../../models/onnx/graph-index';
import type { OnnxModel } from '../../models/onnx/stream/graph-stream';
import { ValueShapes } from '../../models/onnx/values/value-shapes';
import { blockLabel, edgesWithin, blockSignature } from './flow-document';
import type { Flow, FlowEdge, FlowGroup, FlowItem, FlowKind, FlowNode } from './flow-document';
import { foldItems } from './fold-blocks';
import { sublayerLabels } from './step-labels';
import { mostDrawn } from './visible-flow';
import { counted, say, verbatim } from '../../message';
import type { Message } from '../../message';
import { GraphStages } from '../../models/onnx/graph-stages';
import { nodesUnusedAfterRemoval, removeBranches } from '../../models/onnx/edits/removal-nodes';
import type { ResidualBranch } from '../../models/onnx/stream/residual-stream';

/** A graph without residual branches is not folded; a larger one could not be read. */
const mostUnfolded = 400;

/** The flow of an ONNX graph; undefined where it has no residual stream to fold it by and is large. */
export function onnxFlow(model: OnnxModel): Flow | undefined {
  const drawn = drawnNodes(model.index, model.file.initializers);
  if (model.branches.length === 0 && drawn.length > mostUnfolded) {
    return undefined;
  }
  const flow = new GraphFlow(model, drawn).flow();
  return flow.items.length > mostDrawn ? undefined : flow;
}

/** Nodes that compute data. Constants and shape computations are excluded. */
function drawnNodes(
  { nodes, constants, producers }: GraphIndex,
  initializers: OnnxModel['file']['initializers'],
): GraphNode[] {
  const sizeNodes = new Set<GraphNode>();
  const readsTable = (name: string): boolean => (initializers.get(name)?.dims.length ?? 0) > 1;
  return nodes.filter((node) => {
    const values = node.inputs.filter((input) => !constants.has(input));
    if (node.outputs.every((output) => constants.has(output))) {
      return false;
    }
    const follows = values.every((value) => {
      const producer = producers.get(value);
      return producer !== undefined && sizeNodes.has(producer);
    });
    if (isShape(node) || (follows && !node.inputs.some(readsTable))) {
      sizeNodes.add(node);
      return false;
    }
    return true;
  });
}

/** Position of a graph node in the diagram. */
interface Place {
  /**
   * Id of a sublayer; with `+` appended for the surrounding parts of its block, such as the sum;
   * `front…`, `between…` or `behind` for nodes outside the blocks.
   */
  readonly key: string;
  readonly isInSublayer: boolean;
}

/** Assigns every drawn node to a residual branch or to a part outside the branches. */
function placeNodes(
  { index, branches, summary }: OnnxModel,
  drawn: readonly GraphNode[],
): Map<GraphNode, Place> {
  const places = new Map<GraphNode, Place>();
  const { live } = removeBranches(index, []);
  const sublayerId = (i: number): string => summary.sublayers[i]?.id ?? String(i);
  for (const [i, branch] of branches.entries()) {
    for (const node of branchNodes(index, live, branch)) {
      if (!places.has(node)) {
        places.set(node, { key: sublayerId(i), isInSublayer: true });
      }
    }
  }
  const stages = new GraphStages(index, branches);
  const ends = new Map(branches.map(({ end }, i) => [end, i]));
  const fronts = streamFronts(index, branches);
  const last = 2 * branches.length;
  const found = drawn.map((node): [GraphNode, Place] => {
    const known = places.get(node);
    if (known !== undefined) {
      return [node, known];
    }
    const stage = Math.max(...node.outputs.map((output) => stages.of(output)));
    const made = node.outputs.flatMap((output) => ends.get(output) ?? [])[0];
    const around = made ?? (stage % 2 === 1 ? (stage - 1) / 2 : undefined);
    const key =
      around !== undefined
        ? `${sublayerId(around)}+`
        : stage === 0 && branches.length > 0
          ? (fronts.get(node) ?? 'front.side')
          : stage === last
            ? 'behind'
            : `between.${stage / 2}`;
    return [node, { key, isInSublayer: false }];
  });
  return new Map(found);
}

/** Nodes of a branch alone, without the sum that adds it to the stream and the norm of that sum. */
function branchNodes(
  index: GraphIndex,
  live: ReadonlySet<GraphNode>,
  branch: ResidualBranch,
): Set<GraphNode> {
  const behind = new Set(branch.terms.flatMap((term) => [...index.between(term, branch.end)]));
  const own = new Set<GraphNode>();
  const sublayerNodes = [...nodesUnusedAfterRemoval(index, live, branch)].sort(
    (a, b) => a.order - b.order,
  );
  for (const node of sublayerNodes) {
    const isOwn = node.inputs.every((input) => {
      const producer = index.producers.get(input);
      return index.constants.has(input) || (producer !== undefined && own.has(producer));
    });
    if (!behind.has(node) || isOwn) {
      own.add(node);
    }
  }
  return own;
}

/**
 * Nodes that compute the first value of each stream. Nodes that streams share belong to the first
 * stream.
 */
function streamFronts(
  index: GraphIndex,
  branches: readonly ResidualBranch[],
): ReadonlyMap<GraphNode, string> {
  const fronts = new Map<GraphNode, string>();
  const heads = branches.filter((_, i) => branches[i - 1]?.joined !== true);
  for (const [i, { start }] of heads.entries()) {
    const open = [start];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      const node = index.producers.get(value);
      if (node !== undefined && !fronts.has(node)) {
        fronts.set(node, `front.${i}`);
        open.push(...node.inputs);
      }
    }
  }
  return fronts;
}

class GraphFlow {
  private readonly shapes: ValueShapes;
  private readonly ids = new Map<GraphNode, string>();
  private readonly inputs = new Map<string, string>();
  private readonly edges = new Map<string, FlowEdge>();
  private readonly places: ReadonlyMap<GraphNode, Place>;
  private readonly drawn: ReadonlySet<GraphNode>;

  public constructor(
    private readonly model: OnnxModel,
    drawn: readonly GraphNode[],
  ) {
    this.drawn = new Set(drawn);
    this.shapes = new ValueShapes(model.file.graph, model.index);
    this.places = placeNodes(model, drawn);
  }

  public flow(): Flow {
    const { branches, index, summary } = this.model;
    const byPlace = new Map<string, GraphNode[]>();
    for (const [node, { key }] of this.places) {
      byPlace.set(key, [...(byPlace.get(key) ?? []), node]);
    }
    const itemsOf = (key: string): FlowItem[] => this.itemsOf(key, byPlace.get(key) ?? []);
    const sublayers = new Map<number, FlowItem[]>();
    for (const { id, block, kind } of summary.sublayers) {
      const inside = itemsOf(id);
      const around = itemsOf(`${id}+`);
      const list = sublayers.get(block) ?? [];
      sublayers.set(block, list);
      list.push(sublayerGroup(id, kind, inside), ...around);
    }
    const partsFrom = (prefix: string, label: Message): FlowItem[] =>
      [...byPlace.keys()]
        .filter((key) => key.startsWith(prefix))
        .flatMap((key) => part(key, key === 'front.side' ? say`Side values` : label, itemsOf(key)));
    const front = partsFrom('front', say`Before the blocks`);
    const shapes = new Map(
      [...this.model.file.initializers].map(([name, { dims }]) => [name, dims]),
    );
    const groups = [...sublayers].map(([block, children]): FlowGroup => {
      const id = `block.${block}`;
      return { id, kind: 'block', row: id, label: blockLabel(block), children };
    });
    const between = partsFrom('between', say`Between the blocks`);
    const behind = itemsOf('behind');
    const outputs = this.outputsOf(undefined);
    const inputs = index.inputs.flatMap(({ name }) => this.inputNode(name, undefined));
    this.connect();
    const edges = [...this.edges.values()];
    const ends = new Set(
      branches.flatMap(({ joined }, i) => (joined ? [] : [summary.sublayers[i]?.block])),
    );
    const within = edgesWithin(groups, edges);
    const folded = foldItems(
      groups,
      (group) => blockSignature(group, within.get(group.id) ?? [], shapes),
      (group) => ends.has(groups.indexOf(group)),
    );
    return {
      source: 'graph',
      items: [
        ...inputs,
        ...front,
        ...folded,
        ...between,
        ...part('behind', say`After the blocks`, behind, branches.length === 0),
        ...outputs,
      ],
      edges,
      omitted: index.nodes.filter(
        (node) => !this.drawn.has(node) && !node.outputs.every((one) => index.constants.has(one)),
      ).length,
    };
  }

  /** Ordered by structure only, so that equal blocks look the same. */
  private itemsOf(key: string, nodes: readonly GraphNode[]): FlowItem[] {
    const own = new Set(nodes);
    const { index } = this.model;
    const ordered = new Set<GraphNode>();
    const visit = (root: GraphNode): void => {
      const open: { node: GraphNode; next: number }[] = [{ node: root, next: 0 }];
      for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
        const input = top.node.inputs[top.next++];
        const producer = input === undefined ? undefined : index.producers.get(input);
        if (input === undefined) {
          ordered.add(top.node);
          open.pop();
        } else if (producer !== undefined && own.has(producer) && !ordered.has(producer)) {
          open.push({ node: producer, next: 0 });
        }
      }
    };
    [...nodes].reverse().forEach(visit);
    const items: FlowItem[] = [];
    for (const node of ordered) {
      const id = `${key}/${items.length}`;
      this.ids.set(node, id);
      items.push(this.operator(id, node));
    }
    const home = nodes[0] === undefined ? undefined : this.places.get(nodes[0]);
    if (home?.isInSublayer === true) {
      const read = new Set([...ordered].flatMap(({ inputs }) => inputs));
      items.unshift(...[...read].flatMap((name) => this.inputNode(name, key)));
      items.push(...this.outputsOf(key));
    }
    return items;
  }

  private operator(id: string, node: GraphNode): FlowNode {
    const { proto, op, inputs } = node;
    const { initializers } = this.model.file;
    const read = new Set<string>();
    const open = [...inputs];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      const data = initializers.get(name);
      if (data !== undefined && data.dims.length > 0 && !isIndex(data.dtype)) {
        read.add(name);
      } else if (this.model.index.constants.has(name)) {
        open.push(...(this.model.index.producers.get(name)?.inputs ?? []));
      }
    }
    const half = op === operatorName(proto) ? {} : { detail: say`part of ${proto.opType}` };
    return {
      id,
      label: verbatim(op.split(':').at(-1) ?? op),
      kind: nodeKind(node, read.size > 0),
      name: proto.name === '' ? (node.outputs[0] ?? '') : proto.name,
      tensors: [...read].reverse(),
      ...half,
    };
  }

  /** Draws a graph input inside the sublayer that is its only reader, as for caches. */
  private inputNode(name: string, sublayer: string | undefined): FlowNode[] {
    const { index, file } = this.model;
    const isInput = index.inputs.some((port) => port.name === name);
    if (!isInput || this.inputs.has(name) || file.initializers.has(name)) {
      return [];
    }
    const homes = new Set(
      index
        .consumersOf(name)
        .filter((reader) => this.drawn.has(reader))
        .map((reader) => this.placeKey(reader)),
    );
    const [home] = homes;
    if (homes.size === 0 || (sublayer !== undefined && (homes.size > 1 || home !== sublayer))) {
      return [];
    }
    const id = `input:${name}`;
    this.inputs.set(name, id);
    return [{ id, label: verbatim(shortPort(name, sublayer)), name, kind: 'input', tensors: [] }];
  }

  private placeKey(node: GraphNode): string | undefined {
    const place = this.places.get(node);
    return place?.isInSublayer === true ? place.key : undefined;
  }

  /** Outputs computed by nodes of a sublayer, or by nodes outside all sublayers. */
  private outputsOf(sublayer: string | undefined): FlowNode[] {
    return [...this.model.index.outputs].flatMap((name): FlowNode[] => {
      const producer = this.model.index.producers.get(name);
      if (
        producer === undefined ||
        !this.drawn.has(producer) ||
        this.placeKey(producer) !== sublayer
      ) {
        return [];
      }
      const id = `output:${name}`;
      return [
        { id, label: verbatim(shortPort(name, sublayer)), name, kind: 'output', tensors: [] },
      ];
    });
  }

  private connect(): void {
    const { index } = this.model;
    const add = (from: string | undefined, to: string | undefined, value: string): void => {
      if (from !== undefined && to !== undefined && from !== to) {
        const shape = this.shapes
          .of(value)
          ?.map((size) => (typeof size === 'string' && size.startsWith('?') ? '?' : size));
        this.edges.set(`${from}\n${to}`, { from, to, ...(shape === undefined ? {} : { shape }) });
      }
    };
    for (const node of this.drawn) {
      for (const value of node.inputs) {
        const producer = index.producers.get(value);
        const from = producer === undefined ? this.inputs.get(value) : this.ids.get(producer);
        add(from, this.ids.get(node), value);
      }
    }
    for (const name of index.outputs) {
      const producer = index.producers.get(name);
      add(producer && this.ids.get(producer), `output:${name}`, name);
    }
  }
}

function sublayerGroup(id: string, kind: string, children: readonly FlowItem[]): FlowGroup {
  const label = sublayerLabels[kind] ?? verbatim(kind);
  return {
    id,
    kind: 'sublayer',
    row: id,
    label,
    detail: counted(children.length, 'operator'),
    children,
  };
}

/** Group if there is more than one node. */
function part(id: string, label: Message, items: readonly FlowItem[], flat = false): FlowItem[] {
  return items.length < 2 || flat
    ? [...items]
    : [
        {
          id,
          kind: 'part',
          label,
          detail: counted(items.length, 'operator'),
          children: items,
        },
      ];
}

/** Name of a port inside a sublayer, without the block number. */
function shortPort(name: string, sublayer: string | undefined): string {
  return sublayer === undefined ? name : name.replaceAll(/[._]?\d+[._]?/g, ' ').trim();
}

function isIndex(dtype: string): boolean {
  return ['I64', 'I32', 'BOOL', 'STRING'].includes(dtype);
}

function nodeKind({ op }: GraphNode, readsWeights: boolean): FlowKind {
  if (op.endsWith('Attention')) {
    return 'attention';
  }
  if (op.endsWith('Normalization')) {
    return 'norm';
  }
  if (/^(?:Add|Sum|Mul|Concat)$/.test(op) && !readsWeights) {
    return 'combine';
  }
  return readsWeights ? 'weights' : 'operator';
}
