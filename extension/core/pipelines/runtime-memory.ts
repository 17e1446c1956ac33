import type { OpenedModel } from '../models/opened-model';
import { kvCacheBytes } from '../models/model-summary';
import type { Runtime } from './runtimes';

/** Memory that a program needs to run a model at a context length, in bytes. */
export interface RuntimeMemory {
  readonly weights: number;
  /** Keys and values of the context. */
  readonly cache: number;
  /** Activations and logits of one batch. */
  readonly buffers: number;
}

/** Batch size of llama.cpp in tokens (`n_ubatch`). */
const llamaBatch = 512;
/** Number of key/value cells that llama.cpp allocates at a time. */
const llamaCells = 256;
const [halfBytes, floatBytes] = [2, 4] as const;

/** Tokens whose keys and values a program keeps for sliding-window attention. */
const windowCells: Readonly<Record<Runtime, (window: number) => number>> = {
  // The window and a batch, as llama.cpp reports.
  'llama.cpp': (window) => llamaCells * Math.ceil((window + llamaBatch) / llamaCells),
  transformers: (window) => window,
  // The graphs that Espalier writes keep all keys and values.
  onnxruntime: () => Infinity,
};

/**
 * Memory of a model in a program.
 *
 * - llama.cpp keeps keys and values in half precision, those of a sliding window and a batch in sliding-window attention.
 *   It reserves the logits and two hidden states of a batch in float32:
 *   98.25 MiB for SmolLM2 135M, as llama.cpp reports.
 * - Other programs keep keys and values as the checkpoint stores floats, and run the whole prompt at once. Their buffers
 *   are estimated as two hidden states and the widest activation of the prompt.
 *
 * @param tokens context length
 */
export function runtimeMemory(
  { model, summary }: Pick<OpenedModel, 'model' | 'summary'>,
  runtime: Runtime,
  tokens: number,
): RuntimeMemory {
  const { bytes, dtypes, hiddenSize = 0, vocabularySize = 0, sublayers } = summary;
  const stored = sublayers.reduce(
    (sum, sublayer) => sum + kvCacheBytes(sublayer, tokens, windowCells[runtime]),
    0,
  );
  if (runtime === 'llama.cpp') {
    const isFloat32 = Object.keys(dtypes).every((dtype) => dtype === 'F32');
    return {
      weights: bytes,
      cache: isFloat32 ? (stored * halfBytes) / floatBytes : stored,
      buffers: llamaBatch * floatBytes * (vocabularySize + 2 * hiddenSize),
    };
  }
  const widest = Math.max(
    0,
    ...sublayers.flatMap((_, i) => model.sublayer(i).linearLayers.map(({ out }) => out)),
  );
  return {
    weights: bytes,
    cache: stored,
    buffers: tokens * floatBytes * (2 * hiddenSize + widest),
  };
}

/** Sum of all parts. */
export const totalMemory = ({ weights, cache, buffers }: RuntimeMemory): number =>
  weights + cache + buffers;
