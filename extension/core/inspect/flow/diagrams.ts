import type { Translate } from '../../message';
import { modelStamp } from '../../checkpoints/model-folder';
import type { OpenModel } from '../../models/model-cache';
import { openModelFiles } from '../../models/open-model';
import type { Numbering } from '../model-comparison';
import { locateWeights } from '../locate-weights';
import type { Diagram } from './diagram';
import { everyItem, isGroup, blockLabel, blockSignature, itemTexts } from './flow-document';
import type {
  Flow,
  UnknownFlow,
  FlowDifference,
  FlowEdge,
  FlowGroup,
  FlowItem,
} from './flow-document';
import { layOut } from './lay-out';
import { joined, readNodeValues, withValues } from './node-values';
import { describeModel } from '../describe-model';
import { openGraph } from '../onnx-source';
import { allTensors } from '../tensor-table';
import { modelFlow } from './model-flow';
import { onnxFlow } from './onnx-flow';
import { say } from '../../message';
import { toSourceId } from '../../models/units';
import type { BlockNumbers } from '../../models/units';
import { foldItems } from './fold-blocks';

/** Flows that are kept: those of a model and of one that it is compared with. */
const maxKeptFlows = 2;

/** Contents of a diagram besides the flow. */
interface DrawingOptions {
  /** Path of another model to include in the diagram, if both flows are known. */
  readonly against?: string | undefined;
  /** Common block numbers of the two models, if one was made from the other. */
  readonly numbers?: Numbering;
  /** Numbers to draw on the boxes, as {@link readNodeValues} reads them. */
  readonly values?: string | undefined;
  /** Into the language that is shown. */
  readonly translate?: Translate;
}

/**
 * Data flow of a model, from its architecture or its graph, never guessed from names. If it is
 * unknown, the result contains the reason.
 * @throws UserError when a file is missing or damaged.
 */
export async function describeFlow(
  path: string,
  open: OpenModel = openModelFiles,
): Promise<Flow | UnknownFlow> {
  const description = await describeModel(path, open);
  const { format, understood, files, warnings } = description;
  if (format === 'onnx') {
    const graph = await openGraph(files[0]?.path ?? path, open);
    return (
      onnxFlow(graph) ?? {
        reason: warnings[0] ?? say`The graph has no residual stream to group it by.`,
      }
    );
  }
  if (understood.by !== 'architecture') {
    return {
      reason: understood.reason ?? say`There is no config.json that names the architecture.`,
    };
  }
  const { model } = await open(description.path);
  const tensors = allTensors(description).map(({ tensor }) => tensor);
  return model.kind === 'graph'
    ? { reason: say`The data flow of ${description.family ?? 'this'} models is not supported.` }
    : modelFlow(model, tensors);
}

/**
 * Draws flows. The latest flows are cached, because a diagram is drawn again whenever a node is
 * opened.
 */
export class Diagrams {
  private readonly flows = new Map<string, Promise<Flow | UnknownFlow>>();

  public constructor(private readonly open: OpenModel = openModelFiles) {}

  /**
   * @param unfolded Ids of groups that are opened, and of runs that are unfolded.
   * @throws UserError when a file is missing or damaged.
   */
  public async draw(
    model: string,
    unfolded: ReadonlySet<string>,
    { against, numbers, values, translate }: DrawingOptions = {},
  ): Promise<Diagram | UnknownFlow> {
    const own = await this.flowOf(model);
    if ('reason' in own) {
      return own;
    }
    const other = against === undefined ? undefined : await this.flowOf(against);
    const isJoined = other !== undefined && !('reason' in other) && other.source === own.source;
    const flow = isJoined ? joinFlows(own, other, numbers) : own;
    const diagram =
      values === undefined
        ? layOut(flow, unfolded, translate)
        : await drawValues(flow, unfolded, values, translate);
    return isJoined ? { ...diagram, joined: true } : diagram;
  }

  private async flowOf(model: string): Promise<Flow | UnknownFlow> {
    const { path } = await locateWeights(model);
    const key = `${path}\n${await modelStamp(path)}`;
    const flow = this.flows.get(key) ?? describeFlow(model, this.open);
    this.flows.delete(key);
    this.flows.set(key, flow);
    const [oldest = key] = this.flows.keys();
    if (this.flows.size > maxKeptFlows) {
      this.flows.delete(oldest);
    }
    try {
      return await flow;
    } catch (error) {
      this.flows.delete(key);
      throw error;
    }
  }
}

async function drawValues(
  flow: Flow,
  unfolded: ReadonlySet<string>,
  file: string,
  translate: Translate | undefined,
): Promise<Diagram> {
  const values = await readNodeValues(file);
  const valued = withValues(flow, values);
  const [first = 0] = values.values();
  const { least, most } = joined(valued.items) ?? { least: first, most: first };
  const found = [...everyItem(valued.items)].filter(
    (item) =>
      item.value !== undefined && !(isGroup(item) && item.children.some((one) => one.value)),
  ).length;
  return {
    ...layOut(valued, unfolded, translate),
    values: { file, count: values.size, found, least, most },
  };
}

/**
 * Merges the flows of two models: shared items appear once, other items in place. Items match by id, blocks by the
 * given numbers; each item is marked with its difference.
 */
export function joinFlows(one: Flow, other: Flow, numbers: Numbering = {}): Flow {
  const [model, against] = [renumbered(one, numbers.model), renumbered(other, numbers.against)];
  const edges = new Map<string, FlowEdge>();
  for (const edge of [...model.edges, ...against.edges]) {
    const key = `${edge.from}\n${edge.to}`;
    edges.set(key, edges.get(key) ?? edge);
  }
  const joined = [...edges.values()];
  const items = join(model.items, against.items);
  return {
    ...model,
    items: foldItems(items, (block) => signatureWith(block, joined)).map(withShared),
    edges: joined,
  };
}

/** Flow with unfolded blocks, in the numbering of the original model. */
function renumbered(flow: Flow, numbers: BlockNumbers = []): Flow {
  const rename = (item: FlowItem): FlowItem => {
    const id = toSourceId(item.id, numbers);
    if (!isGroup(item)) {
      return { ...item, id };
    }
    const [number = ''] = /\d+$/.exec(id) ?? [];
    const label = item.kind === 'block' ? blockLabel(number) : item.label;
    return { ...item, id, label, children: item.children.map(rename) };
  };
  return {
    ...flow,
    items: unfolded(flow.items).map(rename),
    edges: flow.edges.map((edge) => ({
      ...edge,
      from: toSourceId(edge.from, numbers),
      to: toSourceId(edge.to, numbers),
    })),
  };
}

/** Blocks one by one: the two models have different ones that are alike. */
function unfolded(items: readonly FlowItem[]): FlowItem[] {
  return items.flatMap((item) =>
    isGroup(item) && item.kind === 'run' ? unfolded(item.children) : [item],
  );
}

/**
 * Items of both lists in the order of the first. Items that are only in the second are placed
 * before the common item that follows them.
 */
function join(model: readonly FlowItem[], against: readonly FlowItem[]): FlowItem[] {
  const own = new Set(model.map(({ id }) => id));
  const result: FlowItem[] = [];
  let next = 0;
  const takeUntil = (end: number): void => {
    const others = against.slice(next, end).filter(({ id }) => !own.has(id));
    result.push(...others.map((item) => marked(item, 'against')));
    next = Math.max(next, end);
  };
  for (const item of model) {
    const place = against.findIndex(({ id }) => id === item.id);
    const other = against[place];
    if (other === undefined) {
      result.push(marked(item, 'model'));
      continue;
    }
    takeUntil(place);
    next = Math.max(next, place + 1);
    result.push(joinPair(item, other));
  }
  takeUntil(against.length);
  return result;
}

function joinPair(item: FlowItem, other: FlowItem): FlowItem {
  const isChanged = itemTexts(item).join('\n') !== itemTexts(other).join('\n');
  if (!isGroup(item) || !isGroup(other)) {
    return isChanged || isGroup(item) !== isGroup(other)
      ? { ...item, difference: 'changed' }
      : item;
  }
  const children = join(item.children, other.children);
  return isChanged || children.some(({ difference }) => difference !== undefined)
    ? { ...item, children, difference: 'changed' }
    : { ...item, children };
}

function marked(item: FlowItem, difference: FlowDifference): FlowItem {
  return isGroup(item)
    ? { ...item, difference, children: item.children.map((child) => marked(child, difference)) }
    : { ...item, difference };
}

/** A run, marked with the difference that all of its contents share. */
function withShared(item: FlowItem): FlowItem {
  if (!isGroup(item) || item.kind !== 'run') {
    return item;
  }
  const children = item.children.map(withShared);
  const [shared, ...others] = new Set(children.map(({ difference }) => difference));
  return shared === undefined || others.length > 0
    ? { ...item, children }
    : { ...item, children, difference: shared };
}

function signatureWith(group: FlowGroup, edges: readonly FlowEdge[]): string {
  const differences = [...everyItem([group])].map(({ difference = '' }) => difference);
  return [blockSignature(group, edges, new Map()), ...differences].join('\n');
}
