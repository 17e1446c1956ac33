import type { GgufTarget } from '../../models/gguf/gguf-target';
import type { Architecture, PartKind } from '../../models/transformer/architecture';
import type { ModelConfig } from '../../models/transformer/model-config';

/** A model of a folder, and what it becomes. */
export interface FolderModel {
  readonly name: string;
  readonly config: ModelConfig;
  /** config.json, for errors. */
  readonly configFile: string;
  readonly architecture: Architecture;
  readonly target: GgufTarget;
}

/** Sizes that config.json may leave to others. */
export function sizesOf({ num_attention_heads: heads, ...config }: ModelConfig): {
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

/** What a block of the folder consists of. */
export function partsOf({ architecture, config }: FolderModel, block: number): readonly PartKind[] {
  const { parts, experts } = architecture;
  return (
    parts?.(config, block) ?? [
      'attention',
      experts?.isSparse(config, block) === true ? 'expert' : 'feedforward',
    ]
  );
}

/** Size of the heads of blocks of a type; the model's where all are alike. */
export function headDimOf(
  { architecture, config }: Pick<FolderModel, 'architecture' | 'config'>,
  layerType: string,
): number {
  const block = (config.layer_types ?? []).lastIndexOf(layerType);
  const own = block < 0 ? undefined : architecture.heads?.(config, block);
  return own?.headDim ?? sizesOf(config).headDim;
}
