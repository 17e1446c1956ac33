import { inEnglish } from '../../message';
import { everyItem, isGroup } from './flow-document';
import type { FlowEdge, FlowGroup, FlowItem } from './flow-document';

/** Texts of an item that are the same in every language. */
export const itemTexts = ({ label, detail }: FlowItem): readonly string[] =>
  [label, ...(detail === undefined ? [] : [detail])].map(inEnglish);

/**
 * Signature of a block's structure: its operations in order, the shapes of their weights, and their
 * connections.
 * @param shapes Shapes of the tensors by name.
 */
export function blockSignature(
  group: FlowGroup,
  edges: readonly FlowEdge[],
  shapes: ReadonlyMap<string, readonly number[]>,
): string {
  const items = [...everyItem(group.children)];
  const places = new Map(items.map(({ id }, place) => [id, String(place)]));
  const operations = items.map((item) =>
    isGroup(item)
      ? [item.kind, ...itemTexts(item), item.children.length].join('|')
      : [
          item.kind,
          ...itemTexts(item),
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
