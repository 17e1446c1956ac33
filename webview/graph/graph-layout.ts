import type { Graph } from './types';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface DrawnNode extends Point {
  readonly id: number;
}

export interface DrawnEdge {
  readonly id: number;
  /** The same at both ends. */
  readonly port: number;
  readonly ends: readonly [Point, Point];
  /** Control point of the quadratic curve between the ends; on the line if the edge is straight. */
  readonly control: Point;
  /** The middle of the curve. */
  readonly middle: Point;
}

/** A graph with places, in pixels from the left and from the top. */
export interface DrawnGraph {
  readonly width: number;
  readonly height: number;
  readonly nodes: readonly DrawnNode[];
  readonly edges: readonly DrawnEdge[];
}

export const nodeRadius = 13;
/** Length of an edge that is as long as it should be. */
const edgeLength = 72;
/** Distance between edges that join the same two nodes. */
const parallelGap = 30;
/** Room around nodes and middles of edges. */
const margin = nodeRadius + 5;
const rounds = 500;
/** In edge lengths: nodes that move less have found their place. */
const stillness = 1e-6;

/**
 * Places nodes so that their distances are as near as can be to the steps between them: stress majorization
 * (Gansner, Koren and North 2004), which makes paths straight and cycles round. The same graph is always drawn the same.
 */
export function layOutGraph(graph: Graph): DrawnGraph {
  const { ids, links } = simplified(graph);
  const near = listNeighbors(ids, links);
  const steps = stepsBetween(near);
  const places = rotate(relaxed(steps, start(steps, near)));
  const at = new Map(ids.map((id, i) => [id, places[i] ?? { x: 0, y: 0 }]));
  const scaled = (id: number): Point => {
    const { x, y } = at.get(id) ?? { x: 0, y: 0 };
    return { x: x * edgeLength, y: y * edgeLength };
  };
  const edges = links.map((link) => {
    const beside = links.filter(({ key }) => key === link.key);
    const shift = (beside.indexOf(link) - (beside.length - 1) / 2) * parallelGap;
    return curved(link, scaled(link.ends[0]), scaled(link.ends[1]), shift);
  });
  return framed(
    ids.map((id) => ({ id, ...scaled(id) })),
    edges,
  );
}

interface Link {
  readonly id: number;
  readonly port: number;
  /** The lower node first. */
  readonly ends: readonly [number, number];
  readonly key: string;
}

/** All nodes, and each edge once; a graph with more than one node has an edge at every node. */
function simplified({ edges }: Graph): { ids: readonly number[]; links: readonly Link[] } {
  const links = edges
    .flatMap(([[node, port], [id, neighbor]]) =>
      node < neighbor
        ? [{ id, port, ends: [node, neighbor] as const, key: `${node} ${neighbor}` }]
        : [],
    )
    .sort((a, b) => a.id - b.id);
  const ids = [...new Set([0, ...links.flatMap(({ ends }) => ends)])].sort((a, b) => a - b);
  return { ids, links };
}

function listNeighbors(ids: readonly number[], links: readonly Link[]): number[][] {
  const index = new Map(ids.map((id, i) => [id, i]));
  const near: Set<number>[] = ids.map(() => new Set());
  for (const { ends } of links) {
    const [a, b] = ends.map((id) => index.get(id) ?? 0);
    near[a ?? 0]?.add(b ?? 0);
    near[b ?? 0]?.add(a ?? 0);
  }
  return near.map((set) => [...set].sort((a, b) => a - b));
}

/** Edges between each two nodes on the shortest way. */
function stepsBetween(near: readonly (readonly number[])[]): number[][] {
  return near.map((_, from) => {
    const steps = near.map(() => Infinity);
    steps[from] = 0;
    const queue = [from];
    for (const node of queue) {
      for (const next of near[node] ?? []) {
        if (steps[next] === Infinity) {
          steps[next] = (steps[node] ?? 0) + 1;
          queue.push(next);
        }
      }
    }
    return steps;
  });
}

/**
 * Initial positions: from left to right by the difference of the distances to both ends of the graph; nodes at the same
 * position are stacked in order of traversal. A path starts straight.
 */
function start(
  steps: readonly (readonly number[])[],
  near: readonly (readonly number[])[],
): Point[] {
  const order: number[] = [];
  const visit = (node: number): void => {
    if (order.includes(node)) return;
    order.push(node);
    near[node]?.forEach(visit);
  };
  steps.forEach((_, i) => {
    visit(i);
  });
  const farthest = (from: number): number => {
    const far = steps[from] ?? [];
    return far.indexOf(Math.max(...far));
  };
  const left = farthest(0);
  const right = farthest(left);
  const along = steps.map((_, i) => ((steps[left]?.[i] ?? 0) - (steps[right]?.[i] ?? 0)) / 2);
  return along.map((x, i) => {
    const alone = along.filter((other) => other === x).length === 1;
    return { x, y: alone ? 0 : order.indexOf(i) - (order.length - 1) / 2 };
  });
}

/** Moves nodes one by one to the position with the least stress, until none moves. */
function relaxed(steps: readonly (readonly number[])[], begin: readonly Point[]): Point[] {
  const places = [...begin];
  for (let round = 0; round < rounds; round++) {
    let moved = 0;
    for (const [i, place] of places.entries()) {
      let [x, y, weights] = [0, 0, 0];
      places.forEach((other, j) => {
        const wanted = steps[i]?.[j] ?? Infinity;
        if (i === j || wanted === Infinity) return;
        const weight = 1 / (wanted * wanted);
        const [dx, dy] = [place.x - other.x, place.y - other.y];
        const pull = wanted / Math.max(1e-9, Math.hypot(dx, dy));
        x += weight * (other.x + dx * pull);
        y += weight * (other.y + dy * pull);
        weights += weight;
      });
      if (weights === 0) continue;
      const next = { x: x / weights, y: y / weights };
      moved = Math.max(moved, Math.hypot(next.x - place.x, next.y - place.y));
      places[i] = next;
    }
    if (moved < stillness) break;
  }
  return places;
}

/** Rotated so that the longest extent is horizontal. */
function rotate(places: readonly Point[]): Point[] {
  const mean = (axis: 'x' | 'y') =>
    places.reduce((sum, place) => sum + place[axis], 0) / Math.max(1, places.length);
  const middle = { x: mean('x'), y: mean('y') };
  let [xx, xy, yy] = [0, 0, 0];
  for (const { x, y } of places) {
    const [dx, dy] = [x - middle.x, y - middle.y];
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  const angle = -Math.atan2(2 * xy, xx - yy) / 2;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return places.map(({ x, y }) => {
    const [dx, dy] = [x - middle.x, y - middle.y];
    return { x: dx * cos - dy * sin, y: dx * sin + dy * cos };
  });
}

function curved({ id, port }: Link, from: Point, to: Point, shift: number): DrawnEdge {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.max(1e-9, Math.hypot(dx, dy));
  const along = (by: number): Point => ({
    x: (from.x + to.x) / 2 - (dy / length) * by,
    y: (from.y + to.y) / 2 + (dx / length) * by,
  });
  // A quadratic curve reaches half the distance to its control point.
  return { id, port, ends: [from, to], control: along(2 * shift), middle: along(shift) };
}

/** Moved so that everything lies right of and below the origin. */
function framed(nodes: readonly DrawnNode[], edges: readonly DrawnEdge[]): DrawnGraph {
  const all = [...nodes, ...edges.map(({ middle }) => middle)];
  const least = (axis: 'x' | 'y') => Math.min(...all.map((point) => point[axis])) - margin;
  const most = (axis: 'x' | 'y') => Math.max(...all.map((point) => point[axis])) + margin;
  const [left, top] = [least('x'), least('y')];
  const round = (value: number) => Math.round(value * 100) / 100;
  const moved = ({ x, y }: Point): Point => ({ x: round(x - left), y: round(y - top) });
  return {
    width: round(most('x') - left),
    height: round(most('y') - top),
    nodes: nodes.map(({ id, ...place }) => ({ id, ...moved(place) })),
    edges: edges.map(({ id, port, ends: [from, to], control, middle }) => ({
      ...{
        id,
        port,
        ends: [moved(from), moved(to)],
        control: moved(control),
        middle: moved(middle),
      },
    })),
  };
}
