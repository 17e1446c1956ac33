import { countMultiTokenBlocks, readBlockCount } from './gguf-blocks';
import { ggufFields, windowPattern } from './gguf-fields';
import type { GgufKeys } from './gguf-keys';
import type { GgufWindows } from './gguf-traits';

/** Size of the sliding window, if any, and `layer_types` of config.json. */
export async function describeWindows(
  keys: GgufKeys,
  windows: GgufWindows,
  blocks: number,
): Promise<{
  readonly sliding_window: number | null;
  readonly layer_types: readonly string[];
}> {
  const pattern = await readPattern(keys, windows, blocks);
  return {
    sliding_window: hasWindows(windows, blocks) ? readWindow(keys, windows) : null,
    layer_types: Array.from({ length: blocks }, (_, block) =>
      isWindowed(pattern, block) ? 'sliding_attention' : 'full_attention',
    ),
  };
}

/** Flags of the blocks, or a number n: every n-th block is not windowed. */
type Pattern = readonly boolean[] | number;
const nowhere: Pattern = 1;

function readWindow(keys: GgufKeys, { size = 0, bothSides = false }: GgufWindows): number {
  const positions = keys.numberIfPresent(ggufFields.sliding_window) ?? size;
  return bothSides ? Math.trunc(positions / 2) : positions;
}

/** True if llama.cpp uses windows in a model with this number of blocks. */
export const hasWindows = ({ onlyAt }: GgufWindows, blocks: number): boolean =>
  onlyAt === undefined || blocks === onlyAt;

async function readPattern(keys: GgufKeys, windows: GgufWindows, blocks: number): Promise<Pattern> {
  const pattern =
    (await keys.flags(windowPattern, blocks, countMultiTokenBlocks(keys))) ?? windows.period;
  if (readWindow(keys, windows) === 0 || !hasWindows(windows, blocks)) {
    return nowhere;
  }
  return windows.fullFirst === true && typeof pattern === 'number'
    ? Array.from({ length: blocks }, (_, block) => pattern === 0 || block % pattern > 0)
    : pattern;
}

function isWindowed(pattern: Pattern, block: number): boolean {
  return typeof pattern === 'number'
    ? pattern === 0 || block % pattern < pattern - 1
    : pattern[block] === true;
}

/**
 * Flag of each remaining block, true if its attention has a window. Returns undefined if the
 * source's period still describes them.
 * @param kept source block of each remaining block
 */
export async function remainingWindowFlags(
  keys: GgufKeys,
  windows: GgufWindows,
  kept: readonly number[],
): Promise<readonly boolean[] | undefined> {
  const pattern = await readPattern(keys, windows, readBlockCount(keys));
  const flags = kept.map((source) => isWindowed(pattern, source));
  const isSame = flags.every((flag, block) => flag === isWindowed(pattern, block));
  return typeof pattern === 'number' && isSame ? undefined : flags;
}
