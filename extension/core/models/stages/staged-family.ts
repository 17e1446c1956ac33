import type { StandIns } from '../stand-ins';
import type { ConfigFields, ConfigLayout } from '../transformer/config-layout';
import type { Piece } from './piece';
import type { PieceFinder } from './piece-finder';
import type { StagedConfig } from './staged-config';

/** What a branch of a block computes. */
export type StagedKind = 'attention' | 'feedforward' | 'convolution';

/** Blocks whose branches can go, one behind the other in a list of modules. */
export interface BlockGroup {
  /** What stands before the number of a block, below the prefix. */
  readonly place: string;
  /** Number of its first block: those in front change the size of the stream. */
  readonly first: number;
  readonly count: number;
}

/** A step from the pixels to the head: one that stays, or a branch x + f(x) that can go. */
export type StagedStep =
  | Piece
  | {
      readonly kind: StagedKind;
      /** Number among the blocks of all groups. */
      readonly block: number;
      /** Finds its tensors, unless it is gone. */
      readonly branch: () => Piece;
    };

/** A family of image models whose stream changes its size between stages. */
export interface StagedFamily {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** What its classes in transformers begin with. */
  readonly name: string;
  readonly config: ConfigLayout;
  /** What stands before every name but the head's where there is a head. */
  readonly prefix: string;
  readonly groups: (config: ConfigFields) => readonly BlockGroup[];
  /** From pixels to what the head reads. */
  readonly steps: (config: StagedConfig, find: PieceFinder) => readonly StagedStep[];
  /** From there to the logits. */
  readonly head: (config: StagedConfig, find: PieceFinder) => Piece;
  /** Whether images must have the size that config.json says. */
  readonly fixesImage?: boolean;
  /** Whether a group can lose all of its blocks. */
  readonly canEmpty?: boolean;
  /** Whether a block computes otherwise by its number in a group: remaining blocks keep theirs modulo this. */
  readonly period?: number;
  /** Modules of a block in transformers, and what stands in for each when a branch is removed. */
  readonly modules: Readonly<Partial<Record<StagedKind, StandIns>>>;
  /** Its own names there of linear layers that are named otherwise in files. */
  readonly linears?: Readonly<Record<string, string>>;
  /** Where transformers has a block whose tensors begin with `place`, if its modules are named otherwise. */
  readonly modulePlace?: (place: string) => string;
}

/** Linear layers of attentions as newer modules of transformers name them, by their names in files. */
export const newerAttention = {
  'attention.self.query': 'attention.q_proj',
  'attention.self.key': 'attention.k_proj',
  'attention.self.value': 'attention.v_proj',
  'attention.output.dense': 'attention.o_proj',
} as const;

/** Classes in transformers: of the configuration, of the model without a head, and of that with one. */
export const classesOf = ({
  name,
}: StagedFamily): { readonly config: string; readonly model: string; readonly head: string } => ({
  config: `${name}Config`,
  model: `${name}Model`,
  head: `${name}ForImageClassification`,
});

/** A stage: what leads into it, its blocks from `first` on, and what leads out of it. */
export interface StageForm {
  readonly before?: readonly (Piece | undefined)[];
  readonly first?: number;
  readonly depth: number;
  /** What the block of this number in the stage consists of. */
  readonly block: (number: number) => readonly (Piece | BlockBranch)[];
  readonly behind?: readonly Piece[];
}

export interface BlockBranch {
  readonly kind: StagedKind;
  readonly branch: () => Piece;
}

/** The steps of stages one after the other, their blocks numbered on. */
export function stepsOf(stages: readonly StageForm[]): StagedStep[] {
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

/** The group of each block, and its number there. */
export function placesOf(
  groups: readonly BlockGroup[],
): readonly { readonly group: number; readonly place: string; readonly number: number }[] {
  return groups.flatMap(({ place, first, count }, group) =>
    Array.from({ length: count }, (_, i) => ({ group, place, number: first + i })),
  );
}

/** Stages whose blocks `depths` of config.json counts; the first `fixed` of each stay. */
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

/** config.json of a family whose `depths` count the blocks of each stage. */
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
      const places = placesOf(all);
      const kept = all.map((_, group) =>
        blocks.flatMap((block) => {
          const found = places[block];
          return found?.group === group ? [found.number] : [];
        }),
      );
      const says = all.every(({ first }, group) => {
        const numbers = kept[group] ?? [];
        return (
          (canEmpty || first + numbers.length > 0) &&
          numbers.every((number, i) => (number - first - i) % period === 0)
        );
      });
      return says
        ? { depths: all.map(({ first }, group) => first + (kept[group]?.length ?? 0)) }
        : undefined;
    },
  };
}
