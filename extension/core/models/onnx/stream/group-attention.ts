import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import type { GraphIndex, GraphNode } from '../graph-index';
import { intAttribute } from '../graph-index';
import type { OnnxPort } from '../onnx-summary';
import { ValueShapes } from '../values/value-shapes';
import type { StreamOfGraph } from './graph-stream';

const attention = 'com.microsoft:GroupQueryAttention';
/** Input indices of past keys and values. */
const caches = [3, 4];
/** Input index of the rotary cosines. */
const cosines = 7;

/**
 * Ports with the head size filled in for caches [batch, heads, past, headSize]. onnxruntime-genai leaves it dynamic
 * although only the size of the queries works.
 */
export function fillCacheWidths(
  ports: readonly OnnxPort[],
  { index, file: { graph } }: StreamOfGraph,
): OnnxPort[] {
  const isOpen = ({ shape }: OnnxPort): boolean =>
    shape?.length === 4 && typeof shape[3] !== 'number';
  const open = new Set(ports.filter(isOpen).map(({ name }) => name));
  const readers = attentions(index).filter(({ proto }) =>
    caches.some((place) => open.has(proto.input[place] ?? '')),
  );
  if (readers.length === 0) {
    return [...ports];
  }
  const shapes = new ValueShapes(graph, index);
  const widths = new Map(
    readers.flatMap(({ proto }) => {
      const width = headSize(proto, shapes);
      return caches.map((place) => [proto.input[place] ?? '', width] as const);
    }),
  );
  return ports.map((port) => {
    const width = isOpen(port) ? widths.get(port.name) : undefined;
    return width === undefined
      ? port
      : { ...port, shape: [...(port.shape?.slice(0, 3) ?? []), width] };
  });
}

function headSize(node: NodeProto, shapes: ValueShapes): number | undefined {
  const size = Number(shapes.of(node.output[0] ?? '')?.at(-1)) / intAttribute(node, 'num_heads', 0);
  return Number.isInteger(size) && size > 0 ? size : undefined;
}

/** Number of positions in the rotary tables of a graph; undefined if it has none. */
export function rotatedPositions({ index, file }: StreamOfGraph): number | undefined {
  const rows = attentions(index).flatMap(({ proto }) =>
    intAttribute(proto, 'do_rotary', 0) === 0
      ? []
      : (file.initializers.get(proto.input[cosines] ?? '')?.dims[0] ?? []),
  );
  return rows.length === 0 ? undefined : Math.min(...rows);
}

function attentions({ nodes }: GraphIndex): GraphNode[] {
  return nodes.filter(({ op }) => op === attention);
}
