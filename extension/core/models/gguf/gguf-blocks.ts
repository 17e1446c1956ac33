import type { GgufKeys } from './gguf-keys';
import { say } from '../../message';

/** Sizes that all blocks share, and what single blocks lack. */
export interface GgufBlocks {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly innerSize: number;
  /** Ids of sublayers that the blocks lack. */
  readonly absent: readonly string[];
}

const headCount = 'attention.head_count';
const keyValueHeadCount = 'attention.head_count_kv';
const innerSize = 'feed_forward_length';

/** Sizes of a family whose blocks are alike. */
export function readSameBlocks(keys: GgufKeys): GgufBlocks {
  const heads = keys.number(headCount);
  return {
    heads,
    keyValueHeads: keys.numberIfPresent(keyValueHeadCount) ?? heads,
    innerSize: keys.number(innerSize),
    absent: [],
  };
}

/**
 * Sizes of a `deci` model, whose lists have 0 for what a block lacks. Read as llama.cpp computes them
 * (src/models/deci.cpp): the size of a head comes from block 0, and a block without feed-forward passes
 * its input on, whatever its attention gives.
 * @throws UserError for what is not known here, or computed otherwise than the lists say.
 */
export async function readDeciBlocks(keys: GgufKeys, count: number): Promise<GgufBlocks> {
  const read = async (key: string): Promise<readonly number[] | undefined> =>
    keys.numbers(key, count);
  const heads = (await read(headCount)) ?? keys.missing(keys.name(headCount));
  const keyValueHeads = (await read(keyValueHeadCount)) ?? heads;
  const inner = (await read(innerSize)) ?? keys.missing(keys.name(innerSize));
  const linear = heads.findIndex((size, block) => size > 0 && keyValueHeads[block] === 0);
  if (linear >= 0) {
    keys.fault(
      keys.name(keyValueHeadCount),
      say`Block ${linear} has a linear layer instead of attention, which is not supported.`,
    );
  }
  const torn = heads.findIndex((size, block) => size > 0 && inner[block] === 0);
  if (torn >= 0) {
    keys.fault(
      keys.name(innerSize),
      say`Block ${torn} has attention but no feed-forward: llama.cpp then leaves the attention out as well.`,
      say`Use the Hugging Face folder of the model.`,
    );
  }
  return {
    heads: onlySize(keys, headCount, heads),
    keyValueHeads: onlySize(keys, keyValueHeadCount, keyValueHeads),
    innerSize: onlySize(keys, innerSize, inner),
    absent: heads.flatMap((size, block) => [
      ...(size === 0 ? [`block.${block}.attention`] : []),
      ...(inner[block] === 0 ? [`block.${block}.feedforward`] : []),
    ]),
  };
}

/** The one size other than 0. */
function onlySize(keys: GgufKeys, key: string, sizes: readonly number[]): number {
  const [size, ...others] = new Set(sizes.filter((each) => each > 0));
  return size !== undefined && others.length === 0
    ? size
    : keys.fault(keys.name(key), say`Blocks of different sizes, or no blocks, are not supported.`);
}
