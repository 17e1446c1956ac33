import type { BranchReplacements } from '../branch-replacements';
import type { ConfigFields, ConfigLayout } from '../transformer/model-config';
import type { Piece } from './piece';
import type { PieceFinder } from './piece-finder';
import type { StagedConfig } from './staged-config';

/** Kind of sublayer. */
export type StagedKind = 'attention' | 'feedforward' | 'convolution';

/** Consecutive blocks of one module list whose branches can be removed. */
export interface BlockGroup {
  /** Tensor name prefix before the block number, without the prefix of the model. */
  readonly place: string;
  /** Number of the first removable block. Earlier blocks change the size of the stream. */
  readonly first: number;
  readonly count: number;
}

/** A step between the pixels and the head: a permanent one, or a residual branch x + f(x) that can be removed. */
export type StagedStep =
  | Piece
  | {
      readonly kind: StagedKind;
      /** Number among the blocks of all groups. */
      readonly block: number;
      /** Finds the tensors of the branch. Not called if the branch was removed. */
      readonly branch: () => Piece;
    };

/** A family of image models whose stream changes its size between stages. */
export interface StagedFamily {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Prefix of the class names in transformers. */
  readonly name: string;
  readonly config: ConfigLayout;
  /** Prefix of all tensor names except those of the head, in checkpoints that have a head. */
  readonly prefix: string;
  readonly groups: (config: ConfigFields) => readonly BlockGroup[];
  /** Steps from the pixels to the input of the head. */
  readonly steps: (config: StagedConfig, find: PieceFinder) => readonly StagedStep[];
  /** The head: computes logits from the output of the steps. */
  readonly head: (config: StagedConfig, find: PieceFinder) => Piece;
  /** True if images must have the size in config.json. */
  readonly fixesImage?: boolean;
  /** True if all blocks of a group can be removed. */
  readonly canEmpty?: boolean;
  /** Period of block variants in a group. Remaining blocks must keep their number modulo this period. */
  readonly period?: number;
  /** Modules of a block in transformers, and the replacement of each when a branch is removed. */
  readonly modules: Readonly<Partial<Record<StagedKind, BranchReplacements>>>;
  /** Names of linear layers in transformers by their names in checkpoints, if they differ. */
  readonly linears?: Readonly<Record<string, string>>;
  /** Returns the module path in transformers of the block with tensor prefix `place`, if the two differ. */
  readonly modulePlace?: (place: string) => string;
}

/** Names of attention's linear layers in recent transformers, by their names in checkpoints. */
export const newerAttention = {
  'attention.self.query': 'attention.q_proj',
  'attention.self.key': 'attention.k_proj',
  'attention.self.value': 'attention.v_proj',
  'attention.output.dense': 'attention.o_proj',
} as const;

/** Class names in transformers of the configuration, the base model and the model with a head. */
export const classNames = ({
  name,
}: StagedFamily): { readonly config: string; readonly model: string; readonly head: string } => ({
  config: `${name}Config`,
  model: `${name}Model`,
  head: `${name}ForImageClassification`,
});

/** A stage: steps before its blocks, the blocks from `first` on, and steps after them. */
export interface StageForm {
  readonly before?: readonly (Piece | undefined)[];
  readonly first?: number;
  readonly depth: number;
  /** Returns the steps and branches of the block with this number in the stage. */
  readonly block: (number: number) => readonly (Piece | BlockBranch)[];
  readonly behind?: readonly Piece[];
}

/** Removable branch of a block of a staged model. */
export interface BlockBranch {
  readonly kind: StagedKind;
  readonly branch: () => Piece;
}

/** Returns the steps of all stages in order, with blocks numbered across stages. */
export function stageSteps(stages: readonly StageForm[]): StagedStep[] {
  let block = 0;
  return stages.flatMap(({ before = [], first = 0, depth, block: stepsIn, behind = [] }) => [
    ...before.filter((piece) => piece !== undefined),
    ...Array.from({ length: Math.max(0, depth - first) }, (_, i) => {
      const own = block++;
      return stepsIn(first + i).map((step) => ('branch' in step ? { ...step, block: own } : step));
    }).flat(),
    ...behind,
  ]);
}

/** Returns the group of each block and the number of the block in it. */
export function stagePlaces(
  groups: readonly BlockGroup[],
): readonly { readonly group: number; readonly place: string; readonly number: number }[] {
  return groups.flatMap(({ place, first, count }, group) =>
    Array.from({ length: count }, (_, i) => ({ group, place, number: first + i })),
  );
}

/** Returns one group per entry of `depths` in config.json. The first `fixed` blocks of a stage can't be removed. */
export function groupsByDepth(
  place: (stage: number) => string,
  fixed: (config: ConfigFields, stage: number) => number = () => 0,
): StagedFamily['groups'] {
  return (config) => {
    const { depths } = config;
    const counts: unknown[] = Array.isArray(depths) ? depths : [];
    return counts.map((depth, stage) => {
      const first = fixed(config, stage);
      return { place: place(stage), first, count: Math.max(0, Number(depth) - first) };
    });
  };
}

/** Layout of config.json for a family with block counts per stage in `depths`. */
export function depthsLayout(
  defaults: ConfigFields,
  groups: StagedFamily['groups'],
  { canEmpty = false, period = 1 }: Pick<StagedFamily, 'canEmpty' | 'period'> = {},
): ConfigLayout {
  return {
    isUnnumbered: true,
    defaults: () => defaults,
    pruned: (config, blocks) => {
      const fields = { ...defaults, ...config };
      const all = groups(fields);
      const places = stagePlaces(all);
      const remainingNumbers = all.map((_, group) =>
        blocks.flatMap((block) => {
          const found = places[block];
          return found?.group === group ? [found.number] : [];
        }),
      );
      const isExpressible = all.every(({ first }, group) => {
        const numbers = remainingNumbers[group] ?? [];
        return (
          (canEmpty || first + numbers.length > 0) &&
          numbers.every((number, i) => (number - first - i) % period === 0)
        );
      });
      return isExpressible
        ? { depths: all.map(({ first }, group) => first + (remainingNumbers[group]?.length ?? 0)) }
        : undefined;
    },
  };
}
