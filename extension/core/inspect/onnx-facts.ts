import { intAttribute } from '../models/onnx/node-attributes';
import type { OnnxModel } from '../models/onnx/stream/graph-stream';
import type { ModelFacts } from './model-description';

/**
 * Facts derived from a graph without a config.json: heads from fused attention and from caches
 * [batch, heads, past, headDim], the vocabulary size from a lookup table with as many rows as the
 * graph has logits.
 */
export function graphFacts({ index, summary, file }: OnnxModel): ModelFacts {
  const fused = index.nodes.find(({ op }) => op.endsWith('Attention'))?.proto;
  const attribute = (name: string): number | undefined =>
    fused === undefined ? undefined : intAttribute(fused, name, 0) || undefined;
  const heads = attribute('num_heads');
  const cache = summary.inputs.find(
    ({ shape, dtype }) => shape?.length === 4 && dtype.includes('F') && isHeads(shape),
  )?.shape;
  const groups = attribute('kv_num_heads') ?? fixedSize(cache?.[1]);
  const headSize = fixedSize(cache?.[3]);
  return {
    ...(heads === undefined ? {} : { heads }),
    ...(groups === undefined ? {} : { keyValueHeads: groups }),
    ...(headSize === undefined ? {} : { headSize }),
    ...vocabularySize({ index, summary, file }),
  };
}

function vocabularySize({
  index,
  summary,
  file,
}: Pick<OnnxModel, 'index' | 'summary' | 'file'>): ModelFacts {
  const [output] = summary.outputs;
  const logits = fixedSize(output?.shape?.at(-1));
  for (const { op, inputs } of index.nodes) {
    const [table = ''] = inputs;
    const [rows, width, ...others] = file.initializers.get(table)?.dims ?? [];
    const isLookup = op === 'Gather' && rows === logits && others.length === 0;
    if (isLookup && rows !== undefined && width !== undefined) {
      const readers = index.consumersOf(table);
      return {
        vocabularySize: rows,
        hiddenSize: width,
        tiedHead: readers.some((reader) => reader.op !== 'Gather'),
      };
    }
  }
  return {};
}

/** True if a shape is that of a cache rather than an image: only the sequence axis is dynamic. */
function isHeads([, heads, past, headSize]: readonly (number | string)[]): boolean {
  return typeof heads === 'number' && typeof past === 'string' && typeof headSize === 'number';
}

function fixedSize(size: number | string | undefined): number | undefined {
  return typeof size === 'number' ? size : undefined;
}
