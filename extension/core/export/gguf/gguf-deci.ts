import type { GgufHeader } from '../../checkpoints/gguf';
import type { Refusal } from '../../models/capability';
import { ggufSizes } from '../../models/gguf/gguf-model';
import type { ModelSummary } from '../../models/model-summary';
import { sizesAfter, unevenWidth } from './gguf-sizes';
import type { GgufLayout } from './gguf-writer';
import type { Changes } from '../changes';
import { say } from '../../message';

/** `general.architecture` of the models of llama.cpp whose blocks may lack sublayers. */
export const deciArchitecture = 'deci';

/** Families that become `deci` models. */
export const deciFamilies: readonly string[] = ['llama', 'nemotron-nas'];

/**
 * Why a removal cannot be said as a `deci` model of llama.cpp (src/models/deci.cpp, seen in builds of
 * 2025 and 2026), which is a Llama whose lists of sizes have 0 for what a block lacks.
 */
export function explainDeciUnsupported(
  { architecture }: ModelSummary,
  { blocks, absent }: Changes,
): Refusal | undefined {
  if (!deciFamilies.includes(architecture)) {
    return {
      code: 'single-sublayers',
      reason: say`llama.cpp can't load a ${architecture} model with single sublayers removed, only a llama model.`,
      remedy: say`Remove whole blocks (--granularity block), or prune the Hugging Face folder of the model.`,
    };
  }
  const lacks = (block: number, kind: string): boolean => absent.includes(`block.${block}.${kind}`);
  if (lacks(0, 'attention')) {
    return {
      code: 'single-sublayers',
      reason: say`llama.cpp reads the size of the heads from the first block, but block.${blocks[0] ?? 0}.attention would be removed.`,
      remedy: say`Keep it (--protect), or also remove the MLP, and with it the whole block.`,
    };
  }
  const partial = blocks.filter(
    (_, block) => lacks(block, 'feedforward') && !lacks(block, 'attention'),
  );
  return partial.length === 0
    ? undefined
    : {
        code: 'single-sublayers',
        reason: say`llama.cpp skips the attention of a block without an MLP, so ${partial.map((source) => `block.${source}.feedforward`).join(', ')} can't be removed alone.`,
        remedy: say`Also remove the attention of the same block, keep the MLP (--protect, --granularity attention), or prune the Hugging Face folder of the model.`,
      };
}

/** True if the remaining blocks differ, so that an ordinary model can't represent them. */
export function needsDeci(changes: Changes): boolean {
  return changes.absent.length > 0 || unevenWidth(changes) !== undefined;
}

/** The header's sizes as lists, 0 where a block lacks a sublayer. */
export async function deciLayout(header: GgufHeader, changes: Changes): Promise<GgufLayout> {
  return {
    blocks: changes.blocks,
    architecture: deciArchitecture,
    lists: sizesAfter(await ggufSizes(header), changes),
  };
}
