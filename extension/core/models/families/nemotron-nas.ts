import type { Architecture } from '../transformer/architecture';
import { base, configuredBiases } from './shared-parts';

/** Feed-forwards are rounded up to a multiple of this. */
const sizeStep = 256;

interface BlockConfig {
  readonly attention?: { readonly no_op?: boolean; readonly n_heads_in_group?: number | null };
  readonly ffn?: { readonly no_op?: boolean; readonly ffn_mult?: number | null };
}

/** DeciLM (Puzzle, arXiv 2411.19146): a Llama whose blocks may lack attention or feed-forward. */
export const nemotronNas: Architecture = {
  ...base,
  modelType: 'nemotron-nas',
  biases: configuredBiases,
  config: {
    computed: (config) => {
      const blocks = (config['block_configs'] ?? []) as readonly BlockConfig[];
      const groups = blocks.flatMap(({ attention }) => attention?.n_heads_in_group ?? []);
      const hidden = Number(config['hidden_size']);
      const sizes = blocks.map(({ ffn }) =>
        typeof ffn?.ffn_mult === 'number' ? intermediateSize(ffn.ffn_mult, hidden) : undefined,
      );
      const defaultSize = sizes.find((size) => size !== undefined) ?? intermediateSize(1, hidden);
      const widths = Object.fromEntries(
        sizes.flatMap((size, block) =>
          size === undefined || size === defaultSize ? [] : [[`block.${block}.feedforward`, size]],
        ),
      );
      return {
        num_key_value_heads: Number(config['num_attention_heads']) / (groups[0] ?? 1),
        intermediate_size: defaultSize,
        espalier: {
          removed: absentSublayers(blocks),
          ...(Object.keys(widths).length === 0 ? {} : { widths }),
        },
        'block_configs with groups of one size': new Set(groups).size < 2,
      };
    },
    only: () => ({ 'block_configs with groups of one size': true }),
  },
};

/** Size that the loaders of DeciLM models compute: ⌊2/3 · ffn_mult · hidden⌋, rounded up. */
function intermediateSize(ffnMult: number, hiddenSize: number): number {
  return Math.ceil(Math.trunc((2 * ffnMult * hiddenSize) / 3) / sizeStep) * sizeStep;
}

function absentSublayers(blocks: readonly BlockConfig[]): string[] {
  return blocks.flatMap(({ attention, ffn }, block) => [
    ...(attention?.no_op === true ? [`block.${block}.attention`] : []),
    ...(ffn?.no_op === true ? [`block.${block}.feedforward`] : []),
  ]);
}
