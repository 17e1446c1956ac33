import type { GgufBlocks } from '../../models/gguf/gguf-blocks';
import { ggufFields } from '../../models/gguf/gguf-fields';
import type { Changes } from '../changes';
import type { GgufFile } from '../../models/gguf/gguf-file';
import { ggufSizes } from '../../models/gguf/gguf-model';
import type { GgufLayout } from './gguf-writer';

/** Sizes of the source's blocks. */
export type SourceSizes = Pick<
  GgufBlocks,
  'heads' | 'keyValueHeads' | 'blockKeyValueHeads' | 'blockInnerSizes'
> & {
  /**
   * True if the number of query heads stays the same when the number of key/value heads changes.
   */
  readonly hasSameHeads?: boolean;
};

/** Header keys for the widths of each kind of sublayer. */
const headerKeys = {
  attention: [ggufFields.num_attention_heads, ggufFields.num_key_value_heads],
  feedforward: [ggufFields.intermediate_size],
} as const;
type SizedKind = keyof typeof headerKeys;
const sizedKinds: readonly SizedKind[] = ['attention', 'feedforward'];

/** Sizes of each block that stays, 0 where it lacks a sublayer, by the family's key. */
export function sizesAfter(
  { heads, keyValueHeads, blockKeyValueHeads, blockInnerSizes, hasSameHeads = false }: SourceSizes,
  { blocks, absent, widths }: Pick<Changes, 'blocks' | 'absent' | 'widths'>,
): ReadonlyMap<string, readonly number[]> {
  const list = (before: readonly number[], kind: SizedKind): number[] =>
    blocks.map((source, block) => {
      const id = `block.${block}.${kind}`;
      return absent.includes(id) ? 0 : (widths[id] ?? before[source] ?? 0);
    });
  const groups = list(blockKeyValueHeads, 'attention');
  return new Map([
    [
      ggufFields.num_attention_heads,
      groups.map((count, block) => {
        const own = blockKeyValueHeads[blocks[block] ?? 0] ?? keyValueHeads;
        return (count * heads) / (hasSameHeads ? own : keyValueHeads);
      }),
    ],
    [ggufFields.num_key_value_heads, groups],
    [ggufFields.intermediate_size, list(blockInnerSizes, 'feedforward')],
  ]);
}

/** Sublayer kinds with widths that differ from the source's header. */
export function widthPrunedKinds({ widths }: Pick<Changes, 'widths'>): readonly SizedKind[] {
  return sizedKinds.filter((kind) => Object.keys(widths).some((id) => id.endsWith(`.${kind}`)));
}

/** Ids, in the result, of the sublayers of a kind that stay, in the order of the blocks. */
function sublayerIds({ remaining: kept, blocks }: Changes, kind: SizedKind): readonly string[] {
  return kept
    .filter((one) => one.kind === kind)
    .map(({ block }) => `block.${blocks.indexOf(block)}.${kind}`);
}

/** Widths of width-pruned kinds by key: one per block, or a single value if all sublayers of the kind agree. */
export function widthPrunedSizes(
  sizes: SourceSizes,
  changes: Changes,
): ReadonlyMap<string, { readonly each: readonly number[]; readonly all: number | undefined }> {
  const after = sizesAfter(sizes, changes);
  return new Map(
    widthPrunedKinds(changes).flatMap((kind) => {
      const ids = sublayerIds(changes, kind);
      return headerKeys[kind].map((key) => {
        const each = after.get(key) ?? [];
        const own = each.filter((_, block) => ids.includes(`block.${block}.${kind}`));
        const [all, ...others] = new Set(own);
        return [key, { each, all: others.length === 0 ? all : undefined }] as const;
      });
    }),
  );
}

/** Sublayer with a width that differs from others of its kind; undefined if every kind has one width. */
export function unevenWidth(changes: Changes): string | undefined {
  const { widths } = changes;
  return sizedKinds
    .map((kind) => sublayerIds(changes, kind))
    .flatMap((ids) => ids.filter((id) => widths[id] !== widths[ids[0] ?? '']))[0];
}

/** `general.architecture` of the models of llama.cpp whose blocks may lack sublayers. */
export const deciArchitecture = 'deci';

/** Families that become `deci` models. */
export const deciFamilies: readonly string[] = ['llama', 'nemotron-nas'];

/** True if the remaining blocks differ, so that an ordinary model can't represent them. */
export function needsDeci(changes: Changes): boolean {
  return changes.absent.length > 0 || unevenWidth(changes) !== undefined;
}

/** The header's sizes as lists, 0 where a block lacks a sublayer. */
export async function deciLayout(file: GgufFile, changes: Changes): Promise<GgufLayout> {
  return {
    blocks: changes.blocks,
    architecture: deciArchitecture,
    lists: sizesAfter(await ggufSizes(file), changes),
  };
}
