import type { GgufTarget } from '../../models/gguf/gguf-target';
import type { PartKind } from '../../models/transformer/architecture';
import type { ModelConfig } from '../../models/transformer/model-config';
import type { LlamaCppFacts } from './llama-cpp/rule';

/** Model of a folder, and the changes to write. */
export interface FolderModel extends LlamaCppFacts {
  readonly source: 'config';
  readonly name: string;
  readonly target: GgufTarget;
}

/** Sizes with defaults that config.json may omit. */
export function configSizes({ num_attention_heads: heads, ...config }: ModelConfig): {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
} {
  return {
    heads,
    keyValueHeads: config.num_key_value_heads ?? heads,
    headDim: config.head_dim ?? config.hidden_size / heads,
  };
}

/** Sublayers of a block in the folder. */
export function blockParts(
  { architecture, config }: LlamaCppFacts,
  block: number,
): readonly PartKind[] {
  const { parts, experts } = architecture;
  return (
    parts?.(config, block) ?? [
      'attention',
      experts?.isSparse(config, block) === true ? 'expert' : 'feedforward',
    ]
  );
}

/** Head dimension of blocks of a type; the model's if all blocks have the same. */
export function headDimension(
  { architecture, config }: Pick<FolderModel, 'architecture' | 'config'>,
  layerType: string,
): number {
  const block = (config.layer_types ?? []).lastIndexOf(layerType);
  const own = block < 0 ? undefined : architecture.heads?.(config, block);
  return own?.headDim ?? configSizes(config).headDim;
}
