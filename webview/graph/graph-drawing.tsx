import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { layOutGraph, nodeRadius } from './graph-layout';
import type { Graph } from './types';

/** A graph: a circle for each node with its id, a line for each edge with its port. */
export function GraphDrawing(props: { readonly graph: Graph; readonly label: string }): VNode {
  const { graph, label } = props;
  const { width, height, nodes, edges } = useMemo(() => layOutGraph(graph), [graph]);
  const viewBox = `0 0 ${width} ${height}`;
  return (
    <svg class="graph" {...{ viewBox, width, height }} role="img" aria-label={label}>
      <g>
        {edges.map(({ id, ends: [from, to], control }) => (
          <path
            key={id}
            class="edge"
            d={`M${from.x},${from.y} Q${control.x},${control.y} ${to.x},${to.y}`}
          />
        ))}
      </g>
      <g>
        {edges.map(({ id, port, middle }) => (
          <text key={id} class="port" x={middle.x} y={middle.y + 4}>
            {port}
          </text>
        ))}
      </g>
      <g>
        {nodes.flatMap(({ id, x, y }) => [
          <circle key={`node ${id}`} class="node" cx={x} cy={y} r={nodeRadius} />,
          <text key={`id ${id}`} class="id" x={x} y={y + 4}>
            {id}
          </text>,
        ])}
      </g>
    </svg>
  );
}
