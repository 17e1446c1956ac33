import type { Refusal } from '../../../models/capability';
import type { SublayerSummary } from '../../../models/model-summary';
import { emptiedBlock, layOutChanges } from '../../changes';
import type { Changes } from '../../changes';
import { deciFamilies } from '../gguf-sizes';
import { findViolation } from './rule';
import type { LayoutFacts, LlamaCppRule } from './rule';
import { say } from '../../../message';

const isBlocks = ({ layout }: LayoutFacts): boolean => layout === 'blocks';
const isDeci = ({ layout }: LayoutFacts): boolean => layout === 'deci';

const isAbsent = ({ absent }: Changes, block: number, kind: string): boolean =>
  absent.includes(`block.${block}.${kind}`);

/** The first removed sublayer of a block that keeps others. */
function findPartialBlock(
  { summary }: LayoutFacts,
  { removed, remaining }: Changes,
): SublayerSummary | undefined {
  const left = new Set(remaining.map(({ block }) => block));
  return summary.sublayers.find(({ id, block }) => removed.includes(id) && left.has(block));
}

/** Sublayers that blocks may lack, by layout. */
export const layoutRules: readonly LlamaCppRule<LayoutFacts, Refusal>[] = [
  // A Llama whose lists of sizes have 0 for the sublayers that a block lacks (src/models/deci.cpp).
  {
    applies: isDeci,
    check: ({ summary: { architecture } }) =>
      deciFamilies.includes(architecture)
        ? undefined
        : {
            code: 'single-sublayers',
            reason: say`llama.cpp can't load a ${architecture} model with single sublayers removed, only a llama model.`,
            remedy: say`Remove whole blocks (--granularity block), or prune the Hugging Face folder of the model.`,
          },
  },
  {
    applies: isDeci,
    check: (_, changes) =>
      isAbsent(changes, 0, 'attention')
        ? {
            code: 'single-sublayers',
            reason: say`llama.cpp reads the size of the heads from the first block, but block.${changes.blocks[0] ?? 0}.attention would be removed.`,
            remedy: say`Keep it (--protect), or remove the whole block, MLP included.`,
          }
        : undefined,
  },
  {
    applies: isDeci,
    check: (_, changes) => {
      const partial = changes.blocks.filter(
        (_source, block) =>
          isAbsent(changes, block, 'feedforward') && !isAbsent(changes, block, 'attention'),
      );
      return partial.length === 0
        ? undefined
        : {
            code: 'single-sublayers',
            reason: say`llama.cpp skips the attention of a block without an MLP, so ${partial.map((source) => `block.${source}.feedforward`).join(', ')} can't be removed alone.`,
            remedy: say`Also remove the attention of the same block, keep the MLP (--protect, --granularity attention), or prune the Hugging Face folder of the model.`,
          };
    },
  },
  {
    applies: isBlocks,
    check: ({ summary: { architecture } }, changes) => {
      const emptied = emptiedBlock(changes);
      return emptied === undefined
        ? undefined
        : {
            code: 'blocks-not-removable',
            reason: say`Without its sublayers, block ${emptied} of a ${architecture} model still changes its input, which llama.cpp can't express.`,
            remedy: say`Write another format, from the Hugging Face folder of the model.`,
          };
    },
  },
  {
    applies: isBlocks,
    check: (facts, changes) => {
      const { summary } = facts;
      const partial = findPartialBlock(facts, changes);
      if (partial === undefined) {
        return undefined;
      }
      const block = summary.sublayers.filter((one) => one.block === partial.block);
      const whole = layOutChanges(
        summary,
        block.map(({ id }) => id),
      );
      return {
        code: 'single-sublayers',
        reason: say`llama.cpp needs attention and MLP in every block of a ${summary.architecture} model, but ${partial.id} would be removed alone.`,
        remedy:
          emptiedBlock(whole) === undefined
            ? say`Remove whole blocks (--granularity block), or prune the Hugging Face folder of the model.`
            : say`Prune the Hugging Face folder of the model.`,
      };
    },
  },
  {
    applies: isBlocks,
    check: ({ summary: { architecture } }, { absent: [missing] }) =>
      missing === undefined
        ? undefined
        : {
            code: 'single-sublayers',
            reason: say`llama.cpp needs every sublayer in every block of a ${architecture} model, but ${missing} is absent.`,
            remedy: say`Choose another format.`,
          },
  },
];

/** Returns the reason why a GGUF layout can't represent a changed model, from its summary alone. */
export const explainUnsupportedLayout = (
  facts: LayoutFacts,
  changes: Changes,
): Refusal | undefined => findViolation(layoutRules, facts, changes)?.violation;
