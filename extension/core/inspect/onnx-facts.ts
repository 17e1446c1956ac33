import { intAttribute } from '../models/onnx/node-attributes';
import type { OnnxModel } from '../models/onnx/stream/graph-stream';
import type { ModelFacts } from './model-description';

/**
 * What a graph itself tells of a model, where no config.json does: heads by fused attention and by
 * caches [batch, heads, past, headDim], the vocabulary by a table that is looked up and has as many
 * rows as the graph has logits.
 */
export function factsOfGraph({ index, summary, file }: OnnxModel): ModelFacts {
  const fused = index.nodes.find(({ op }) => op.endsWith('Attention'))?.proto;
  const attribute = (name: string): number | undefined =>
    fused === undefined ? undefined : intAttribute(fused, name, 0) || undefined;
  const heads = attribute('num_heads');
  const cache = summary.inputs.find(
    ({ shape, dtype }) => shape?.length === 4 && dtype.includes('F') && isHeads(shape),
  )?.shape;
  const groups = attribute('kv_num_heads') ?? numberOf(cache?.[1]);
  const headSize = numberOf(cache?.[3]);
  return {
    ...(heads === undefined ? {} : { heads }),
    ...(groups === undefined ? {} : { keyValueHeads: groups }),
    ...(headSize === undefined ? {} : { headSize }),
    ...vocabularyOf({ index, summary, file }),
  };
}

function vocabularyOf({
  index,
  summary,
  file,
}: Pick<OnnxModel, 'index' | 'summary' | 'file'>): ModelFacts {
  const [output] = summary.outputs;
  const logits = numberOf(output?.shape?.at(-1));
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

/** Whether a shape is that of a cache, and not of an image: the sequence is open, the rest is not. */
function isHeads([, heads, past, headSize]: readonly (number | string)[]): boolean {
  return typeof heads === 'number' && typeof past === 'string' && typeof headSize === 'number';
}

function numberOf(size: number | string | undefined): number | undefined {
  return typeof size === 'number' ? size : undefined;
}
