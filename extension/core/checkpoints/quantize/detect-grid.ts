/**
 * Detects weights that were quantized before and are stored as floats: in every block of them, values are equally
 * spaced (v = step · code + minimum, with few codes), up to the rounding of the stored dtype.
 */

/** Equally spaced values in blocks along rows: those of a quantization type, or of integers in groups. */
export interface WeightGrid {
  /** True if zero has a code and the minimum needs no number of its own. */
  readonly isSymmetric: boolean;
  /** Number of weights that share a step. */
  readonly width: number;
  /** Greatest code: of the largest weight if symmetric, else counted from the smallest weight. */
  readonly codes: number;
  /** True if the steps of 256 weights are multiples of one number, as in K-quants. */
  readonly hasSharedSteps: boolean;
  /** Most distinct values in a block. */
  readonly distinct: number;
}

/** Group sizes that quantizers use, largest first. Whole rows (one scale per channel) are tried before them. */
const groupWidths = [128, 64, 32, 16];
/** Greatest codes that are tried: those of 8 bits. */
const mostCodes = { symmetric: 128, affine: 255 };
const leastBlocks = 16;
const leastShare = 0.95;
/** Evidence in bits that a block needs: random values fit with a probability of at most 2^-6. */
export const leastEvidence = 6;
/** Rounding error of the smallest float16 numbers. */
const leastError = 2 ** -25;
const superblock = 256;

/**
 * Returns the grid that rows of weights lie on, or undefined if they lie on none. Smaller blocks
 * are reported only if they need fewer codes, and minima only if they save bits.
 * @param weights rows of `length` numbers, as stored
 */
export function detectGrid(weights: Float32Array, length: number): WeightGrid | undefined {
  const bits = significantBits(weights);
  const widths = [length, ...groupWidths.filter((width) => width < length)].filter(
    (width) => length % width === 0,
  );
  const narrowest = (isSymmetric: boolean): WeightGrid | undefined =>
    widths
      .flatMap((width) => gridInBlocks(weights, { length, width, isSymmetric, bits }) ?? [])
      .reduce<WeightGrid | undefined>(
        (best, grid) => (best !== undefined && grid.codes > 0.75 * best.codes ? best : grid),
        undefined,
      );
  const [symmetric, affine] = [narrowest(true), narrowest(false)];
  return symmetric === undefined || (affine !== undefined && codeBits(affine) < codeBits(symmetric))
    ? affine
    : symmetric;
}

/** Bits of a code. */
export function codeBits({ isSymmetric, codes }: WeightGrid): number {
  return Math.ceil(Math.log2(isSymmetric ? 2 * codes : codes + 1));
}

const pattern = new Uint32Array(1);
const single = new Float32Array(pattern.buffer);

/** Significant bits of the most exact number: 24 for float32, 11 for float16, 8 for bfloat16, also if stored as float32. */
export function significantBits(weights: Float32Array): number {
  let used = 0;
  for (const weight of weights) {
    single[0] = weight;
    used |= pattern[0] ?? 0;
  }
  const fraction = used & 0x7fffff;
  return fraction === 0 ? 1 : 24 - (31 - Math.clz32(fraction & -fraction));
}

interface Blocks {
  /** Number of weights in a row. */
  readonly length: number;
  readonly width: number;
  readonly isSymmetric: boolean;
  /** Significant bits of stored numbers. */
  readonly bits: number;
}

function gridInBlocks(weights: Float32Array, blocks: Blocks): WeightGrid | undefined {
  const { length, width, isSymmetric } = blocks;
  const count = Math.floor(weights.length / width);
  const steps = new Map<number, Step>();
  let distinct = 0;
  const isGrid = fitsAlmostAll(count, (block) => {
    const values = [...new Set(weights.subarray(block * width, (block + 1) * width))];
    const fit = fitBlock(values, blocks);
    if (fit === undefined || fit === 'unknown') {
      return fit;
    }
    steps.set(block, fit);
    distinct = Math.max(distinct, values.length);
    return fit;
  });
  return isGrid
    ? {
        ...{ isSymmetric, width, distinct, codes: typicalCodes([...steps.values()]) },
        hasSharedSteps: length % superblock === 0 && width <= 32 && shareSteps(steps, width),
      }
    : undefined;
}

/**
 * True if almost all blocks fit.
 * @param fit undefined for a block that doesn't fit, unknown if it has too few values to tell
 */
export function fitsAlmostAll(
  count: number,
  fit: (block: number) => object | undefined | 'unknown',
): boolean {
  let [fitting, missing] = [0, 0];
  for (let block = 0; block < count; block++) {
    const found = fit(block);
    if (found === undefined) {
      missing++;
      if (missing > (1 - leastShare) * count) {
        return false;
      }
    } else if (found !== 'unknown') {
      fitting++;
    }
  }
  return fitting >= leastBlocks && fitting >= leastShare * (fitting + missing);
}

/** Spacing of the values of a block. */
interface Step {
  readonly size: number;
  /** Largest error of `size`. */
  readonly error: number;
  readonly codes: number;
}

/** Greatest code of all blocks but a twentieth: rounded steps of a few can be too small by a factor. */
function typicalCodes(steps: readonly Step[]): number {
  const codes = steps.map((step) => step.codes).sort((a, b) => a - b);
  return codes[Math.ceil(leastShare * codes.length) - 1] ?? 0;
}

/** Returns the step of a block's distinct values, undefined if they have none, or unknown if they are too few. */
function fitBlock(
  values: readonly number[],
  { isSymmetric, bits }: Blocks,
): Step | undefined | 'unknown' {
  const extreme = values.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  if (!Number.isFinite(extreme)) {
    return undefined;
  }
  // Sums of an affine type may be rounded before they cancel, so the error is relative to the largest value.
  const errors = values.map((value) => roundingError(isSymmetric ? value : extreme, bits));
  const origin = isSymmetric ? 0 : Math.min(...values);
  const end = isSymmetric ? extreme : Math.max(...values);
  const points = values.flatMap((value, i) =>
    value === origin || value === end || (isSymmetric && value === -end)
      ? []
      : [{ share: (value - origin) / (end - origin), error: errors[i] ?? 0 }],
  );
  if (points.length < 2) {
    return 'unknown';
  }
  const originError = isSymmetric ? 0 : roundingError(extreme, bits);
  const span = end - origin;
  const spanError = roundingError(extreme, bits) + originError;
  const most = isSymmetric ? mostCodes.symmetric : mostCodes.affine;
  for (let codes = 1; codes <= most; codes++) {
    const size = Math.abs(span) / codes;
    const needed = leastEvidence + Math.log2(codes);
    const isFit = evidence(points, { codes, size, spanError, originError }) >= needed;
    if (isFit) {
      return { size, error: spanError / codes, codes };
    }
  }
  return undefined;
}

/** Largest rounding error of a stored number: half a unit in its last place. */
export function roundingError(value: number, bits: number): number {
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  return value === 0 ? 0 : Math.max(leastError, 2 ** (exponent - bits));
}

/** Bits by which a spacing is less probable for random values; −1 if one of them is off the grid. */
function evidence(
  points: readonly { readonly share: number; readonly error: number }[],
  {
    codes,
    size,
    spanError,
    originError,
  }: { codes: number; size: number; spanError: number; originError: number },
): number {
  let bits = 0;
  for (const { share, error } of points) {
    const place = share * codes;
    const tolerance = (error + originError + Math.abs(share) * spanError) / size;
    if (Math.abs(place - Math.round(place)) > tolerance * 1.001) {
      return -1;
    }
    bits -= Math.log2(Math.min(1, 2 * tolerance + Number.EPSILON));
  }
  return bits;
}

/** True if the steps of most superblocks are multiples of one number, up to 127 of them. */
function shareSteps(steps: ReadonlyMap<number, Step>, width: number): boolean {
  const perSuperblock = superblock / width;
  const groups = new Map<number, Step[]>();
  for (const [block, step] of steps) {
    const index = Math.floor(block / perSuperblock);
    groups.set(index, [...(groups.get(index) ?? []), step]);
  }
  const results = [...groups.values()].map((group) => {
    const largest = group.reduce((a, b) => (b.size > a.size ? b : a));
    const points = group
      .filter(({ size }) => size !== largest.size)
      .map(({ size, error }) => ({ share: size / largest.size, error }));
    for (let codes = 1; codes <= mostCodes.symmetric; codes++) {
      const size = largest.size / codes;
      const found = evidence(points, { codes, size, spanError: largest.error, originError: 0 });
      if (found >= leastEvidence + Math.log2(codes)) {
        return true;
      }
    }
    return false;
  });
  return results.filter(Boolean).length > results.length / 2;
}
