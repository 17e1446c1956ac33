import { ggufBlocks } from '../../models/gguf/gguf-names';
import { sizesOf } from './folder-model';
import type { FolderModel } from './folder-model';
import type { GgufTensor } from './gguf-tensors';

/** Bytes of a number. */
const [half, whole] = [2, 4] as const;

/** Zeros for keys and values that llama.cpp wants of blocks which read others', and that the folder does not have. */
export function missingKeys(
  { config, architecture, target }: FolderModel,
  there: ReadonlySet<string>,
): GgufTensor[] {
  if (target.family.wantsAllKeys !== true) {
    return [];
  }
  const { keyValueHeads, headDim } = sizesOf(config);
  const matrix = [keyValueHeads * headDim, config.hidden_size];
  const bytes = new Uint8Array(keyValueHeads * headDim * config.hidden_size * half);
  const zeros = (name: string, shape: readonly number[], type: 'F16' | 'F32'): GgufTensor => {
    const length = shape.reduce((all, size) => all * size, type === 'F16' ? half : whole);
    return {
      name,
      shape,
      type,
      length,
      source: { kind: 'given', bytes: bytes.subarray(0, length) },
    };
  };
  return Array.from({ length: config.num_hidden_layers }, (_, block) => block)
    .filter((block) => architecture.keysOf?.(config, block) !== undefined)
    .flatMap((block) => [
      zeros(`${ggufBlocks}.${block}.attn_k.weight`, matrix, 'F16'),
      zeros(`${ggufBlocks}.${block}.attn_v.weight`, matrix, 'F16'),
      zeros(`${ggufBlocks}.${block}.attn_k_norm.weight`, [headDim], 'F32'),
    ])
    .filter(({ name }) => !there.has(name));
}
