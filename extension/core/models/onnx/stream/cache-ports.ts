import type { OnnxFile, OnnxInitializer } from '../../../checkpoints/onnx-file';
import type { GraphIndex, GraphNode } from '../graph-index';
import type { OnnxPort } from '../onnx-summary';

/** Places of past keys and values among the inputs of GroupQueryAttention. */
const caches = [3, 4];

/**
 * Ports with the width of heads in the shape of caches [batch, heads, past, headSize]: a graph of
 * onnxruntime-genai leaves it open, though only the width that the attention's output projection
 * tells is taken.
 */
export function fillCacheWidths(
  ports: readonly OnnxPort[],
  index: GraphIndex,
  { initializers }: OnnxFile,
): OnnxPort[] {
  const widths = new Map<string, number>();
  for (const node of index.nodes) {
    const width = headSize(node, index, initializers);
    for (const place of width === undefined ? [] : caches) {
      widths.set(node.proto.input[place] ?? '', width ?? 0);
    }
  }
  return ports.map((port) => {
    const width = widths.get(port.name);
    return width === undefined || port.shape?.length !== 4 || typeof port.shape[3] === 'number'
      ? port
      : { ...port, shape: [...port.shape.slice(0, 3), width] };
  });
}

function headSize(
  { op, proto, outputs: [output = ''] }: GraphNode,
  index: GraphIndex,
  initializers: ReadonlyMap<string, OnnxInitializer>,
): number | undefined {
  if (op !== 'com.microsoft:GroupQueryAttention') {
    return undefined;
  }
  const heads = Number(proto.attribute.find(({ name }) => name === 'num_heads')?.i ?? 0n);
  const [projection] = index.consumersOf(output);
  const weight = initializers.get(projection?.proto.input[1] ?? '');
  const rows =
    projection?.op === 'MatMul'
      ? weight?.dims[0]
      : Number(projection?.proto.attribute.find(({ name }) => name === 'K')?.i ?? 0n);
  const size = (rows ?? 0) / heads;
  return Number.isInteger(size) && size > 0 ? size : undefined;
}

const pastName = /^past(?:_key_values)?(?=[._]|$)/;
/** What carries on where the text in front is forgotten: windows of convolutions, states of recurrences. */
const stateName = /(?:conv|state|ssm)/;

/** An input by which a graph gets back what it gave of earlier positions. */
export interface CachePort {
  readonly name: string;
  /** The output that gives it with the new positions. */
  readonly present: string;
  readonly dtype: 'F32' | 'F16';
  /** `positions` is how many are in it; only states of fixed size have none. */
  readonly sizes: readonly (number | 'batch' | 'positions')[];
}

/** Undefined for an input that is no cache, or whose size or type cannot be told. */
export function cachePortOf({ name, dtype, shape }: OnnxPort): CachePort | undefined {
  if (!isPast(name) || shape === undefined || !(dtype === 'F32' || dtype === 'F16')) {
    return undefined;
  }
  const sizes = shape.map((size, axis) =>
    typeof size === 'number'
      ? size
      : axis === 0 || /batch/i.test(size)
        ? ('batch' as const)
        : ('positions' as const),
  );
  return sizes.includes('positions') || stateName.test(name)
    ? { name, present: presentOf(name), dtype, sizes }
    : undefined;
}

export function isPast(name: string): boolean {
  return pastName.test(name);
}

/** The output whose values are given back as this input, in the naming of Hugging Face optimum. */
export function presentOf(past: string): string {
  return past.replace(pastName, 'present');
}

/** Whether an output is one of those, in the same naming. */
export function isPresent(name: string): boolean {
  return /^present(?=[._]|$)/.test(name);
}
