import { svg } from '../dom';
import { layOutGraph, nodeRadius } from './graph-layout';
import type { Graph } from './types';

/** Draws a graph: a circle for each node with its id, a line for each edge with its port. */
export function drawGraph(graph: Graph, label: string): SVGSVGElement {
  const { width, height, nodes, edges } = layOutGraph(graph);
  return svg(
    'svg',
    {
      class: 'graph',
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: 'img',
      'aria-label': label,
    },
    svg(
      'g',
      {},
      ...edges.map(({ ends: [from, to], control }) =>
        svg('path', {
          class: 'edge',
          d: `M${from.x},${from.y} Q${control.x},${control.y} ${to.x},${to.y}`,
        }),
      ),
    ),
    svg(
      'g',
      {},
      ...edges.map(({ port, middle }) =>
        svg('text', { class: 'port', x: middle.x, y: middle.y + 4 }, String(port)),
      ),
    ),
    svg(
      'g',
      {},
      ...nodes.flatMap(({ id, x, y }) => [
        svg('circle', { class: 'node', cx: x, cy: y, r: nodeRadius }),
        svg('text', { class: 'id', x, y: y + 4 }, String(id)),
      ]),
    ),
  );
}
