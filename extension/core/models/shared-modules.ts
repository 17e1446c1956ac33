import type { ModelConfig } from './transformer/model-config';

/** Modules that blocks share: the first `turns` blocks own one each, and all users alternate between them. */
export interface SharedModules {
  readonly module: string;
  /** Numbers of the blocks that use one. */
  readonly users: readonly number[];
  readonly turns: number;
}

/** Blocks that stay and use a shared module, in their order. */
const usersLeft = ({ users }: SharedModules, blocks: readonly number[]): number[] =>
  blocks.filter((block) => users.includes(block));

/**
 * True if every remaining block still uses the same shared module. The module follows from the
 * block's index among its users.
 */
export function keepsTurns(shared: SharedModules, blocks: readonly number[]): boolean {
  return usersLeft(shared, blocks).every(
    (block, number) => (shared.users.indexOf(block) - number) % shared.turns === 0,
  );
}

/** Name of a shared module's tensor in the pruned model; undefined if no block uses it. */
export function sharedTensorName(
  shared: SharedModules,
  { block, rest }: { readonly block: number; readonly rest: string },
  blocks: readonly number[],
): { readonly block: number; readonly rest: string } | undefined {
  const left = usersLeft(shared, blocks);
  const owner = left[shared.users.indexOf(block)];
  const [, before, use, after] = /^(.*_adapter_list\.)(\d+)(\..*)$/.exec(rest) ?? [];
  if (owner === undefined || use === undefined) {
    return owner === undefined ? undefined : { block: owner, rest };
  }
  const number = left.indexOf(shared.users[Number(use)] ?? -1);
  return number < 0 ? undefined : { block: owner, rest: `${before}${number}${after}` };
}

/**
 * Tensor names of a transformer block shared by several blocks (Zamba2, arXiv 2411.15242): attention over the
 * concatenated stream and embedding, then an MLP, both without residual, then a linear layer of the block itself.
 */
export interface SharedNames {
  /** The block's own linear layer. */
  readonly output: string;
  readonly modules: (config: ModelConfig) => SharedModules;
  /** Width of the adapters that each use has. */
  readonly rank: (config: ModelConfig) => number;
  /** True if queries, keys and values have adapters, as the MLP does. */
  readonly adaptsHeads: (config: ModelConfig) => boolean;
}
