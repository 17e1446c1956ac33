import type { ModelConfig } from '../transformer/model-config';
import { everyNthFull } from '../families/pieces';
import type { GgufSource } from './gguf-traits';

/** What llama.cpp takes for granted (src/models/gemma3n.cpp): sparse gates, and blocks with keys of their own. */
const [sparseBlocks, sparsity, ownKeys] = [10, 0.95, 20] as const;

const sparsityOf = (block: number): number => (block < sparseBlocks ? sparsity : 0);

/** What of Gemma 3n follows from its tensors and from llama.cpp, whatever the file says. */
export function describeGemma3n({ tensors, types }: GgufSource): Readonly<Record<string, unknown>> {
  return {
    activation_sparsity_pattern: types.map((_, block) => sparsityOf(block)),
    laurel_rank: tensors.get('blk.0.laurel_l.weight')?.shape[0],
  };
}

/** Fields of config.json with the values that llama.cpp computes; lists are those of the config where they are the same. */
export function demandsOfGemma3n(config: ModelConfig): Readonly<Record<string, unknown>> {
  const { num_hidden_layers: blocks } = config;
  const same = (field: string, known: (block: number) => unknown): unknown => {
    const list: unknown = config[field];
    const all = Array.from({ length: blocks }, (_, block) => known(block));
    return !Array.isArray(list) || JSON.stringify(list) === JSON.stringify(all) ? list : all;
  };
  return {
    altup_num_inputs: 4,
    laurel_rank: 64,
    hidden_size_per_layer_input: 256,
    altup_correct_scale: true,
    num_kv_shared_layers: Math.max(0, blocks - ownKeys),
    layer_types: same('layer_types', (block) => everyNthFull(5, block)),
    activation_sparsity_pattern: same('activation_sparsity_pattern', sparsityOf),
    inner_sizes: same('inner_sizes', () => config.intermediate_size),
  };
}
