import { render } from '../../message';
import type { Translate } from '../../message';
import { everyItem, isGroup, repeatCount } from './flow-document';
import type { Flow, FlowEdge, FlowGroup, FlowItem } from './flow-document';

/** Visible element at one position: an operation, a closed group, or a frame with its contents. */
export interface Visible {
  readonly item: FlowItem;
  /** In the display language. */
  readonly label: string;
  readonly detail: string | undefined;
  /**
   * All items that it represents: those at the same position in each repeat of the surrounding
   * runs.
   */
  readonly alike: readonly FlowItem[];
  readonly parent: Visible | undefined;
  /** Undefined if it is not a frame. */
  readonly children: readonly Visible[] | undefined;
  /** Undefined if it can't be expanded. */
  readonly expanded: boolean | undefined;
}

/** Values on their way within one frame. */
export interface Level {
  readonly edges: readonly LevelEdge[];
  /** Operations outside the frame that values come from. */
  readonly entries: readonly string[];
  /** Operations inside the frame whose values leave it. */
  readonly exits: readonly string[];
}

export interface LevelEdge {
  /** A part of the frame, or the operation outside that the value comes from. */
  readonly from: Visible | string;
  /** Part of the frame, or the operation inside it that produces an outgoing value. */
  readonly to: Visible | string;
  readonly edge: FlowEdge;
}

export interface VisibleFlow {
  readonly roots: readonly Visible[];
  /** By frame; undefined for the whole diagram. */
  readonly levels: ReadonlyMap<Visible | undefined, Level>;
}

/** Visible elements if the groups of `open` are opened and its runs unfolded. */
export function visibleFlow(
  { items, edges }: Flow,
  open: ReadonlySet<string>,
  translate: Translate,
): VisibleFlow {
  const places = new Map<string, Visible>();
  const visit = (
    alike: readonly FlowItem[],
    parent: Visible | undefined,
    isListed: boolean,
  ): Visible => {
    const [item] = alike;
    if (item === undefined) {
      throw new RangeError('nothing to be seen');
    }
    const children: Visible[] = [];
    const parts = isGroup(item) ? visibleParts(item, open, isListed) : undefined;
    const seen: Visible = {
      ...{ item, alike, parent, children: parts && children },
      label: render(item.label, translate),
      detail: item.detail && render(item.detail, translate),
      expanded: isGroup(item) ? expandItem(item, open, isListed) : undefined,
    };
    const groups = alike.filter(isGroup);
    if (isGroup(item)) {
      for (const one of everyItem(item.children)) {
        places.set(one.id, seen);
      }
    } else {
      places.set(item.id, seen);
    }
    if (parts !== undefined) {
      const listed = parts.kind === 'all' && item.kind === 'run';
      children.push(...drawnIn(groups, parts).map((ones) => visit(ones, seen, listed)));
    }
    return seen;
  };
  const roots = items.map((item) => visit([item], undefined, false));
  return { roots, levels: listLevels(edges, places) };
}

/** The items at each place inside of groups that are alike. */
function drawnIn(groups: readonly FlowGroup[], parts: Parts): FlowItem[][] {
  const [first] = groups;
  if (first === undefined || parts.kind === 'all') {
    return (first?.children ?? []).map((_, i) =>
      groups.flatMap(({ children }) => children[i] ?? []),
    );
  }
  const { shown } = parts;
  const repeats = first.children
    .slice(0, shown)
    .map((_, i) => groups.flatMap(({ children }) => children.filter((_, j) => j % shown === i)));
  const [only = []] = repeats;
  const inner = only.filter(isGroup);
  // The one part that is shown needs no frame of its own.
  return shown === 1 && inner.length === only.length && inner[0]?.kind !== 'run'
    ? drawnIn(inner, { kind: 'all' })
    : repeats;
}

type Parts = { readonly kind: 'all' } | { readonly kind: 'first'; readonly shown: number };

/** A frame with more parts takes long to be laid out, and nobody could read it: it stays closed. */
export const mostDrawn = 2000;

function isTooLarge({ children }: FlowGroup): boolean {
  return children.length > mostDrawn;
}

/** Elements drawn inside of a group; undefined if it is closed. */
function visibleParts(
  group: FlowGroup,
  open: ReadonlySet<string>,
  isListed: boolean,
): Parts | undefined {
  if (group.kind === 'run') {
    const shown = group.shown ?? group.children.length;
    const isUnfolded = (open.has(group.id) && !isTooLarge(group)) || repeatCount(group) === 1;
    return isUnfolded ? { kind: 'all' } : { kind: 'first', shown };
  }
  if (isTooLarge(group)) {
    return undefined;
  }
  return (group.kind === 'block' && !isListed) || open.has(group.id) ? { kind: 'all' } : undefined;
}

function expandItem(
  group: FlowGroup,
  open: ReadonlySet<string>,
  isListed: boolean,
): boolean | undefined {
  return (group.kind === 'block' && !isListed) || isTooLarge(group)
    ? undefined
    : open.has(group.id);
}

/** Cuts every edge at the borders of the frames that it crosses. */
function listLevels(
  edges: readonly FlowEdge[],
  places: ReadonlyMap<string, Visible>,
): Map<Visible | undefined, Level> {
  const levels = new Map<Visible | undefined, Map<string, LevelEdge>>();
  const add = (frame: Visible | undefined, edge: LevelEdge): void => {
    const level = levels.get(frame) ?? new Map<string, LevelEdge>();
    levels.set(frame, level);
    const key = [endKey(edge.from), endKey(edge.to), borderKey(edge)].join('\n');
    if (!level.has(key)) {
      level.set(key, edge);
    }
  };
  for (const edge of edges) {
    const [from, to] = [places.get(edge.from), places.get(edge.to)];
    if (from === undefined || to === undefined || from === to) {
      continue;
    }
    const [up, down] = [ancestors(from), ancestors(to)];
    let shared = 0;
    while (shared < up.length && shared < down.length && up[shared] === down[shared]) {
      shared++;
    }
    const [source, target] = [up[shared], down[shared]];
    // If an end is inside a hidden part of a folded run, the line ends at the frame's border.
    if (source !== undefined && target !== undefined) {
      add(up[shared - 1], { from: source, to: target, edge });
    }
    const leaving = up.slice(target === undefined ? shared - 1 : shared);
    leaving.slice(0, -1).forEach((frame, i) => {
      const inner = leaving[i + 1];
      if (inner !== undefined) {
        add(frame, { from: inner, to: edge.from, edge });
      }
    });
    if (source !== undefined) {
      const entering = down.slice(shared);
      entering.slice(0, -1).forEach((frame, i) => {
        const inner = entering[i + 1];
        if (inner !== undefined) {
          add(frame, { from: edge.from, to: inner, edge });
        }
      });
    }
  }
  return new Map(
    [...levels].map(([frame, found]) => {
      const list = [...found.values()];
      const names = (ends: readonly (Visible | string)[]): string[] => [
        ...new Set(ends.filter((end) => typeof end === 'string')),
      ];
      return [
        frame,
        {
          edges: list,
          entries: names(list.map(({ from }) => from)),
          exits: names(list.map(({ to }) => to)),
        },
      ];
    }),
  );
}

/** Values that cross a frame's border get separate ports. */
function borderKey({ from, to, edge }: LevelEdge): string {
  const isFrame = (end: Visible | string): boolean =>
    typeof end !== 'string' && end.children !== undefined;
  return isFrame(from) || isFrame(to) ? edge.from : '';
}

function endKey(end: Visible | string): string {
  return typeof end === 'string' ? `border ${end}` : end.item.id;
}

function ancestors(visible: Visible): Visible[] {
  const chain: Visible[] = [];
  for (let one: Visible | undefined = visible; one !== undefined; one = one.parent) {
    chain.unshift(one);
  }
  return chain;
}
