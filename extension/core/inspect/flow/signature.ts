import { inEnglish } from '../../message';
import { everyItem, isGroup } from './flow-document';
import type { FlowEdge, FlowGroup, FlowItem } from './flow-document';

/** What an item says, the same in every language. */
export const textsOf = ({ label, detail }: FlowItem): readonly string[] =>
  [label, ...(detail === undefined ? [] : [detail])].map(inEnglish);

/**
 * What tells a block's structure from that of others: its operations in order, the shapes of their
 * weights, and how they are joined.
 * @param shapes Shapes of the tensors by name.
 */
export function signatureOf(
  group: FlowGroup,
  edges: readonly FlowEdge[],
  shapes: ReadonlyMap<string, readonly number[]>,
): string {
  const items = [...everyItem(group.children)];
  const places = new Map(items.map(({ id }, place) => [id, String(place)]));
  const operations = items.map((item) =>
    isGroup(item)
      ? [item.kind, ...textsOf(item), item.children.length].join('|')
      : [
          item.kind,
          ...textsOf(item),
          ...item.tensors.map((name) => shapes.get(name)?.join('×')),
        ].join('|'),
  );
  const joints = edges
    .filter(({ to }) => places.has(to))
    .map(({ from, to }) => `${places.get(from) ?? ''}>${places.get(to) ?? ''}`);
  return [...operations, ...joints.sort()].join('\n');
}

/** Edges that lead to a node of each group. */
export function edgesWithin(
  groups: readonly FlowGroup[],
  edges: readonly FlowEdge[],
): Map<string, FlowEdge[]> {
  const homes = new Map(
    groups.flatMap(({ id, children }) => [...everyItem(children)].map((item) => [item.id, id])),
  );
  const found = new Map<string, FlowEdge[]>();
  for (const edge of edges) {
    const home = homes.get(edge.to);
    if (home !== undefined) {
      const list = found.get(home) ?? [];
      found.set(home, list);
      list.push(edge);
    }
  }
  return found;
}
