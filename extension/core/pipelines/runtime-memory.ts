import type { OpenedModel } from '../models/opened-model';
import { memoryAt } from '../models/model-summary';
import type { Runtime } from './runtimes';

/** Memory that a program needs to run a model at a context length, in bytes. */
export interface RuntimeMemory {
  readonly weights: number;
  /** Keys and values of the context; every layer counts with the whole context. */
  readonly cache: number;
  /** Activations and logits of one batch. */
  readonly buffers: number;
}

/** Tokens that llama.cpp computes at once (`n_ubatch`). */
const llamaBatch = 512;
const [halfBytes, floatBytes] = [2, 4] as const;

/**
 * Memory of a model in a program.
 *
 * - llama.cpp keeps keys and values in half precision. It reserves the logits and two hidden states of a batch in float32:
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
  const stored = memoryAt(summary, tokens) - bytes;
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
