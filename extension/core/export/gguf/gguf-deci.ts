import type { GgufHeader } from '../../checkpoints/gguf';
import type { Refusal } from '../../models/capability';
import type { GgufBlocks } from '../../models/gguf/gguf-blocks';
import { ggufSizes } from '../../models/gguf/gguf-model';
import type { ModelSummary } from '../../models/model-summary';
import type { GgufLayout } from './gguf-writer';
import type { Changes } from '../changes';
import { say } from '../../message';

/** `general.architecture` of the models of llama.cpp whose blocks may lack sublayers. */
export const deciArchitecture = 'deci';

/**
 * Why a removal cannot be said as a `deci` model of llama.cpp (src/models/deci.cpp, seen in builds of
 * 2025 and 2026), which is a Llama whose lists of sizes have 0 for what a block lacks.
 */
export function whyNotGgufDeci(
  { architecture }: ModelSummary,
  { blocks, absent }: Changes,
): Refusal | undefined {
  if (architecture !== 'llama') {
    return {
      code: 'single-sublayers',
      reason: say`llama.cpp can't load a ${architecture} model without single sublayers, only a llama model.`,
      remedy: say`Remove whole blocks (--granularity block), or prune the Hugging Face folder of the model.`,
    };
  }
  const lacks = (block: number, kind: string): boolean => absent.includes(`block.${block}.${kind}`);
  if (lacks(0, 'attention')) {
    return {
      code: 'single-sublayers',
      reason: say`llama.cpp reads the size of the heads from the first block, but block.${blocks[0] ?? 0}.attention would be removed.`,
      remedy: say`Keep it (--protect), or remove the feed-forward as well, and with it the whole block.`,
    };
  }
  const torn = blocks.filter(
    (_, block) => lacks(block, 'feedforward') && !lacks(block, 'attention'),
  );
  return torn.length === 0
    ? undefined
    : {
        code: 'single-sublayers',
        reason: say`llama.cpp skips the attention of a block without feed-forward, so ${torn.map((source) => `block.${source}.feedforward`).join(', ')} can't be removed alone.`,
        remedy: say`Remove the attention of the same block too, keep the feed-forward (--protect, --granularity attention), or prune the Hugging Face folder of the model.`,
      };
}

/** Sizes as lists, 0 where a block lacks a sublayer, by the family's key. */
export function deciLists(
  { heads, keyValueHeads, innerSize }: Pick<GgufBlocks, 'heads' | 'keyValueHeads' | 'innerSize'>,
  changes: Changes,
): ReadonlyMap<string, readonly number[]> {
  const absent = new Set(changes.absent);
  const list = (usual: number, kind: string): number[] =>
    changes.blocks.map((_, block) => {
      const id = `block.${block}.${kind}`;
      return absent.has(id) ? 0 : (changes.widths[id] ?? usual);
    });
  const groups = list(keyValueHeads, 'attention');
  return new Map([
    ['attention.head_count', groups.map((count) => count * (heads / keyValueHeads))],
    ['attention.head_count_kv', groups],
    ['feed_forward_length', list(innerSize, 'feedforward')],
  ]);
}

/** The header's sizes as such lists. */
export async function deciLayout(header: GgufHeader, changes: Changes): Promise<GgufLayout> {
  return {
    blocks: changes.blocks,
    architecture: deciArchitecture,
    lists: deciLists(await ggufSizes(header), changes),
  };
}
