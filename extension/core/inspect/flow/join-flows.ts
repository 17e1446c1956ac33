import { blockLabel, everyItem, isGroup } from './flow-document';
import type { Flow, FlowDifference, FlowEdge, FlowGroup, FlowItem } from './flow-document';
import { toSourceId } from '../../models/units';
import type { BlockNumbers } from '../../models/units';
import type { Numbering } from '../model-comparison';
import { foldItems } from './fold-blocks';
import { blockSignature, itemTexts } from './signature';

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
