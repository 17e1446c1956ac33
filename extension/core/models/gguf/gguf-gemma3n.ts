import type { GgufSource } from './gguf-traits';

/** llama.cpp closes gates in so many blocks, and so large a share of them, whatever the file says. */
const [sparseBlocks, sparsity] = [10, 0.95] as const;

/** What of Gemma 3n follows from its tensors and from llama.cpp (src/models/gemma3n.cpp). */
export function describeGemma3n({
  tensors,
  types,
}: GgufSource): Readonly<Record<string, unknown>> {
  return {
    activation_sparsity_pattern: types.map((_, block) => (block < sparseBlocks ? sparsity : 0)),
    laurel_rank: tensors.get('blk.0.laurel_l.weight')?.shape[0],
  };
}
