import type { GgufKeys } from './gguf-keys';
import { say } from '../../message';
import type { Message } from '../../message';

/** Block sizes of a model, with differences of single blocks. */
export interface GgufBlocks {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly innerSize: number;
  /** Ids of sublayers that the blocks lack. */
  readonly absent: readonly string[];
  /** Number of channels and key/value heads by sublayer, if they differ from the model's. */
  readonly widths: Readonly<Record<string, number>>;
  /** Key/value heads by block; 0 without attention. */
  readonly blockKeyValueHeads: readonly number[];
  /** MLP width by block; 0 without an MLP. */
  readonly blockInnerSizes: readonly number[];
}

const useFolder = say`Use the Hugging Face folder of the model.`;
const headCount = 'attention.head_count';
export const keyValueHeadCount = 'attention.head_count_kv';
const innerSize = 'feed_forward_length';
/** Number of multi-token prediction blocks after the model's own blocks. */
export const multiTokenBlocksKey = 'nextn_predict_layers';

/** Published files count a block they don't hold; llama.cpp looks for its tensors instead. */
const mayLackFurther = 'deepseek4';

export function countMultiTokenBlocks(keys: GgufKeys): number {
  const said = keys.has(multiTokenBlocksKey) ? keys.blockCount(multiTokenBlocksKey) : 0;
  return said > 0 &&
    keys.architecture === mayLackFurther &&
    !keys.hasTensor(`blk.${keys.blockCount() - said}.nextn.eh_proj.weight`)
    ? 0
    : said;
}

/** Number of transformer blocks, not counting multi-token prediction blocks. */
export function readBlockCount(keys: GgufKeys): number {
  return keys.blockCount() - countMultiTokenBlocks(keys);
}

/**
 * Reads the sizes of a family whose blocks are alike, except for missing parts.
 * @param mayDiffer true if blocks may have different numbers of key/value heads and channels
 * @throws UserError for other differences between blocks
 */
export async function readSameBlocks(keys: GgufKeys, mayDiffer = false): Promise<GgufBlocks> {
  const count = readBlockCount(keys);
  const each = (size: number): readonly number[] => Array.from({ length: count }, () => size);
  const list = async (key: string): Promise<readonly number[] | undefined> =>
    (await keys.numbers(key, keys.blockCount()))?.slice(0, count);
  const commonSize = (
    sizes: readonly number[],
    key: string,
    describe: (other: number, common: number) => Message,
  ): number => {
    const [common = 0, ...others] = sizes.filter((size) => size !== 0);
    const other = others.find((size) => size !== common);
    return other === undefined || mayDiffer
      ? common
      : keys.fault(keys.name(key), 'gguf-blocks-differ', describe(other, common), useFolder);
  };
  // None if every block has only an SSM or linear-attention layer.
  const heads =
    commonSize(
      (await list(headCount)) ?? keys.missing(keys.name(headCount)),
      headCount,
      (other, common) => say`Blocks with ${other} and with ${common} heads are not supported.`,
    ) || 1;
  const hasExperts = (keys.numberIfPresent('expert_count') ?? 0) > 0;
  const blockKeyValueHeads = (await list(keyValueHeadCount)) ?? each(heads);
  const blockInnerSizes =
    (await list(innerSize)) ?? (hasExperts ? each(1) : keys.missing(keys.name(innerSize)));
  return {
    heads,
    keyValueHeads:
      commonSize(
        blockKeyValueHeads,
        keyValueHeadCount,
        (other, common) =>
          say`Blocks with ${other} and with ${common} key/value heads are not supported.`,
      ) || heads,
    blockKeyValueHeads,
    innerSize:
      commonSize(
        blockInnerSizes,
        innerSize,
        (other, common) => say`MLPs with ${other} and with ${common} channels are not supported.`,
      ) || 1,
    blockInnerSizes,
    absent: [],
    widths: mayDiffer ? othersThan('feedforward', blockInnerSizes) : {},
  };
}

/** Sizes that differ from those of the first block with this kind of sublayer, by sublayer. */
function othersThan(kind: string, sizes: readonly number[]): Record<string, number> {
  const common = sizes.find((size) => size !== 0);
  return Object.fromEntries(
    sizes.flatMap((size, block) =>
      size === 0 || size === common ? [] : [[`block.${block}.${kind}`, size]],
    ),
  );
}

/**
 * Sizes of a `deci` model, whose lists have 0 for sublayers that a block lacks. Read as llama.cpp
 * computes them (src/models/deci.cpp): block 0 sets the head size, and a block without an MLP
 * returns its input unchanged, even if it has attention.
 * @throws UserError for unknown sizes, and for lists that llama.cpp computes differently.
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
      'gguf-linear-attention-unsupported',
      say`Block ${linear} has a linear layer instead of attention, which is not supported.`,
      say`Choose another model.`,
    );
  }
  const incomplete = heads.findIndex((size, block) => size > 0 && inner[block] === 0);
  if (incomplete >= 0) {
    keys.fault(
      keys.name(innerSize),
      'gguf-block-without-mlp',
      say`Block ${incomplete} has attention but no MLP, so llama.cpp would skip its attention too.`,
      useFolder,
    );
  }
  const [most, mostGroups, width] = [heads, keyValueHeads, inner].map((sizes) =>
    Math.max(...sizes),
  );
  const sizes = { heads: most ?? 0, keyValueHeads: mostGroups ?? 0, innerSize: width ?? 0 };
  if (Math.min(...Object.values(sizes)) <= 0) {
    keys.fault(
      keys.name(headCount),
      'gguf-blocks-missing',
      say`Models without blocks are not supported.`,
      say`Choose another model.`,
    );
  }
  const perGroup = sizes.heads / sizes.keyValueHeads;
  const uneven = heads.findIndex((size, block) => size !== (keyValueHeads[block] ?? 0) * perGroup);
  if (uneven >= 0) {
    keys.fault(
      keys.name(headCount),
      'gguf-heads-uneven',
      say`The number of query heads of block ${uneven} differs between key/value heads, which is not supported.`,
      say`Choose another model.`,
    );
  }
  const others = (kind: string, list: readonly number[], common: number): [string, number][] =>
    list.flatMap((size, block) =>
      size === 0 || size === common ? [] : [[`block.${block}.${kind}`, size]],
    );
  return {
    ...sizes,
    blockKeyValueHeads: keyValueHeads,
    blockInnerSizes: inner,
    absent: heads.flatMap((size, block) => [
      ...(size === 0 ? [`block.${block}.attention`] : []),
      ...(inner[block] === 0 ? [`block.${block}.feedforward`] : []),
    ]),
    widths: Object.fromEntries([
      ...others('attention', keyValueHeads, sizes.keyValueHeads),
      ...others('feedforward', inner, sizes.innerSize),
    ]),
  };
}
