import { nonLinearValues } from '../code-books';
import type { WritableType } from '../ggml-types';
import { halfToNumber, numberToHalf } from '../half';
import { storeIQ4 } from './iq4-blocks';
import { storeQ2K, storeQ3K, storeQ4K, storeQ5K, storeQ6K } from './k-blocks';
import { storeCodes } from './legacy-blocks';
import { numbers } from './search';

const { fround, round, sign } = Math;

/** Types whose blocks have scales and codes. */
export type BlockType = Exclude<WritableType, 'F32' | 'F16' | 'BF16'>;

/**
 * A change of a group's scale: the scale is multiplied by `factor` about the middle of the group's range, which moves by
 * `shift` steps. Symmetric types have no shift.
 */
export interface Trial {
  readonly factor: number;
  readonly shift: number;
}

/** The scale and offset of a group, and the integers that store them. A weight is scale · q + offset. */
export interface GroupGrid {
  scale: number;
  offset: number;
  scaleCode: number;
  offsetCode: number;
}

type Bounds = readonly [least: number, greatest: number];

/** Scales and codes of a block type, apart from each other. */
export interface BlockCodec {
  /** Numbers that share a scale. */
  readonly width: 16 | 32;
  /** Least and greatest q; codes are numbered from the least. */
  readonly range: readonly [number, number];
  /** Value of each code, if q is not a whole number. */
  readonly book?: readonly number[];
  /** Changes of a group's scale that are worth trying, the first of them none. */
  readonly trials: readonly Trial[];
  /** Computes the grid of a group of the block at `at`, changed by a trial. Decoders give the same float32 numbers. */
  readonly tryGrid: (
    block: DataView,
    at: number,
    group: number,
    trial: Trial,
    to: GroupGrid,
  ) => void;
  /** Stores the integers of a grid. */
  readonly storeGrid: (block: DataView, at: number, group: number, grid: GroupGrid) => void;
  /** Places of the float16 numbers that a block's scales, and its offsets, are multiples of. */
  readonly units: { readonly scale: number; readonly offset?: number };
  /** Bounds of the integers that these are multiplied by; offsets are subtracted then. If absent, they are 1. */
  readonly multiples?: { readonly scale: Bounds; readonly offset?: Bounds };
  /** Stores the codes of a whole block, which are in `numbers` of search.ts. */
  readonly storeCodes: (block: DataView, at: number) => void;
}

const clamp = (value: number, low: number, high: number): number =>
  value < low ? low : value > high ? high : value;

/** A scale's integer times a factor, changed by at least 1 unless the factor is 1. */
function movedCode(code: number, factor: number, low: number, high: number): number {
  const moved = round(code * factor);
  const least = code + sign(factor - 1) * (code < 0 ? -1 : 1);
  return clamp(moved === code ? least : moved, low, high);
}

const factorTrials = (factors: readonly number[]): readonly Trial[] =>
  factors.map((factor) => ({ factor, shift: 0 }));

const scaleTrials = factorTrials([1, 0.96, 1.04, 0.92, 1.08, 0.88, 0.84]);
const gridTrials: readonly Trial[] = [
  { factor: 1, shift: 0 },
  { factor: 0.95, shift: 0 },
  { factor: 1.05, shift: 0 },
  { factor: 0.9, shift: 0 },
  { factor: 1, shift: 0.3 },
  { factor: 1, shift: -0.3 },
  { factor: 0.95, shift: 0.3 },
  { factor: 0.95, shift: -0.3 },
];

/** Trials for scales of four bits, which change by about a tenth from integer to integer. */
const coarseTrials: readonly Trial[] = [1, 0.95, 1.05, 0.8].flatMap((factor) =>
  [0, 0.3, -0.3].map((shift) => ({ factor, shift })),
);

/** Types of 32 numbers with a float16 scale. */
function withScale(
  range: readonly [number, number],
  trials: readonly Trial[],
  store: BlockCodec['storeCodes'],
): BlockCodec {
  return {
    ...{ width: 32, range, trials, units: { scale: 0 } },
    tryGrid: (block, at, _group, { factor }, to) => {
      const stored = block.getUint16(at, true);
      to.scaleCode = factor === 1 ? stored : numberToHalf(fround(halfToNumber(stored) * factor));
      to.scale = halfToNumber(to.scaleCode);
      to.offset = 0;
    },
    storeGrid: (block, at, _group, { scaleCode }) => {
      block.setUint16(at, scaleCode, true);
    },
    storeCodes: store,
  };
}

/** The offset of a grid whose scale becomes another. */
const movedOffset = (
  offset: number,
  from: number,
  to: number,
  most: number,
  shift: number,
): number => fround(offset + ((from - to) * most) / 2 + shift * from);

/** Types of 32 numbers with a float16 scale and minimum. */
function withMinimum(bits: 4 | 5): BlockCodec {
  const most = 2 ** bits - 1;
  return {
    ...{ width: 32, range: [0, most], trials: gridTrials, units: { scale: 0, offset: 2 } },
    tryGrid: (block, at, _group, { factor, shift }, to) => {
      const [scaleCode, offsetCode] = [block.getUint16(at, true), block.getUint16(at + 2, true)];
      const [scale, offset] = [halfToNumber(scaleCode), halfToNumber(offsetCode)];
      to.scaleCode = factor === 1 ? scaleCode : numberToHalf(fround(scale * factor));
      to.scale = halfToNumber(to.scaleCode);
      to.offsetCode =
        factor === 1 && shift === 0
          ? offsetCode
          : numberToHalf(movedOffset(offset, scale, to.scale, most, shift));
      to.offset = halfToNumber(to.offsetCode);
    },
    storeGrid: (block, at, _group, { scaleCode, offsetCode }) => {
      block.setUint16(at, scaleCode, true);
      block.setUint16(at + 2, offsetCode, true);
    },
    storeCodes: (block, at) => {
      storeCodes(block, at + 4, bits, 0);
    },
  };
}

/** Layout of the integers of a K-quant's scales and minima. */
interface PackedScales {
  /** Place of the block's float16 scale, which the minima's follows. */
  readonly halves: number;
  /** Greatest integer of a scale and a minimum. */
  readonly mostCode: number;
  readonly read: (block: DataView, at: number, group: number, to: GroupGrid) => void;
  readonly write: (block: DataView, at: number, group: number, grid: GroupGrid) => void;
}

/** K-quants whose groups have a scale and a minimum. */
function withPackedMinima(
  width: 16 | 32,
  most: number,
  { halves, mostCode, read, write }: PackedScales,
  store: BlockCodec['storeCodes'],
): BlockCodec {
  return {
    ...{ width, range: [0, most], trials: mostCode < 16 ? coarseTrials : gridTrials },
    units: { scale: halves, offset: halves + 2 },
    multiples: { scale: [0, mostCode], offset: [0, mostCode] },
    tryGrid: (block, at, group, { factor, shift }, to) => {
      const unit = halfToNumber(block.getUint16(at + halves, true));
      const minimumUnit = halfToNumber(block.getUint16(at + halves + 2, true));
      read(block, at, group, to);
      const [scale, offset] = [fround(unit * to.scaleCode), -fround(minimumUnit * to.offsetCode)];
      to.scaleCode = factor === 1 ? to.scaleCode : movedCode(to.scaleCode, factor, 0, mostCode);
      to.scale = fround(unit * to.scaleCode);
      if ((factor !== 1 || shift !== 0) && minimumUnit !== 0) {
        const wanted = movedOffset(offset, scale, to.scale, most, shift);
        to.offsetCode = clamp(round(-wanted / minimumUnit), 0, mostCode);
      }
      to.offset = -fround(minimumUnit * to.offsetCode);
    },
    storeGrid: write,
    storeCodes: store,
  };
}

const packedPairs: PackedScales = {
  ...{ halves: 80, mostCode: 15 },
  read: (block, at, group, to) => {
    const both = block.getUint8(at + group);
    to.scaleCode = both & 15;
    to.offsetCode = both >> 4;
  },
  write: (block, at, group, { scaleCode, offsetCode }) => {
    block.setUint8(at + group, scaleCode | (offsetCode << 4));
  },
};

const packedSixBits: PackedScales = {
  ...{ halves: 0, mostCode: 63 },
  read: (block, at, group, to) => {
    const low = block.getUint8(at + 4 + (group & 3));
    const middle = block.getUint8(at + 8 + (group & 3));
    const both = block.getUint8(at + 12 + (group & 3));
    to.scaleCode = group < 4 ? low & 63 : (both & 15) | ((low >> 6) << 4);
    to.offsetCode = group < 4 ? middle & 63 : (both >> 4) | ((middle >> 6) << 4);
  },
  write: (block, at, group, { scaleCode, offsetCode }) => {
    const [low, middle, both] = [4, 8, 12].map((from) => at + from + (group & 3)) as [
      number,
      number,
      number,
    ];
    if (group < 4) {
      block.setUint8(low, (block.getUint8(low) & 0xc0) | scaleCode);
      block.setUint8(middle, (block.getUint8(middle) & 0xc0) | offsetCode);
    } else {
      block.setUint8(low, (block.getUint8(low) & 63) | ((scaleCode >> 4) << 6));
      block.setUint8(middle, (block.getUint8(middle) & 63) | ((offsetCode >> 4) << 6));
      block.setUint8(both, (scaleCode & 15) | ((offsetCode & 15) << 4));
    }
  },
};

/** Layout of the signed integers of the scales of a type of 256 numbers. */
interface SignedScales {
  /** Place of the block's float16 scale. */
  readonly half: number;
  /** The integers are −`limit` … `limit` − 1. */
  readonly limit: number;
  readonly read: (block: DataView, at: number, group: number) => number;
  readonly write: (block: DataView, at: number, group: number, code: number) => void;
}

/** Types of 256 numbers whose groups have a signed scale. */
function withSignedScales(
  width: 16 | 32,
  range: readonly [number, number],
  { half, limit, read, write }: SignedScales,
  store: BlockCodec['storeCodes'],
): BlockCodec {
  return {
    ...{ width, range, trials: scaleTrials, units: { scale: half } },
    multiples: { scale: [-limit, limit - 1] },
    tryGrid: (block, at, group, { factor }, to) => {
      const code = read(block, at, group);
      to.scaleCode = factor === 1 ? code : movedCode(code, factor, -limit, limit - 1);
      to.scale = fround(halfToNumber(block.getUint16(at + half, true)) * to.scaleCode);
      to.offset = 0;
    },
    storeGrid: (block, at, group, { scaleCode }) => {
      write(block, at, group, scaleCode);
    },
    storeCodes: store,
  };
}

/** Replaces `bits` bits of the byte at `at` from bit `from` on. */
function setBits(block: DataView, at: number, from: number, bits: number, value: number): void {
  const mask = (2 ** bits - 1) << from;
  block.setUint8(at, (block.getUint8(at) & ~mask) | ((value << from) & mask));
}

const scalesQ3K: SignedScales = {
  ...{ half: 108, limit: 32 },
  read: (block, at, group) =>
    ((block.getUint8(at + 96 + (group & 7)) >> (4 * (group >> 3))) & 15) +
    16 * ((block.getUint8(at + 104 + (group & 3)) >> (2 * (group >> 2))) & 3) -
    32,
  write: (block, at, group, code) => {
    setBits(block, at + 96 + (group & 7), 4 * (group >> 3), 4, (code + 32) & 15);
    setBits(block, at + 104 + (group & 3), 2 * (group >> 2), 2, (code + 32) >> 4);
  },
};

const scalesQ6K: SignedScales = {
  ...{ half: 208, limit: 128 },
  read: (block, at, group) => block.getInt8(at + 192 + group),
  write: (block, at, group, code) => {
    block.setInt8(at + 192 + group, code);
  },
};

const scalesIQ4XS: SignedScales = {
  ...{ half: 0, limit: 32 },
  read: (block, at, group) =>
    ((block.getUint8(at + 4 + (group >> 1)) >> (4 * (group & 1))) & 15) +
    16 * ((block.getUint8(at + 2 + (group >> 2)) >> (2 * (group & 3))) & 3) -
    32,
  write: (block, at, group, code) => {
    setBits(block, at + 4 + (group >> 1), 4 * (group & 1), 4, (code + 32) & 15);
    setBits(block, at + 2 + (group >> 2), 2 * (group & 3), 2, (code + 32) >> 4);
  },
};

const bookRange = [0, nonLinearValues.length - 1] as const;

export const blockCodecs: Readonly<Record<BlockType, BlockCodec>> = {
  Q8_0: withScale([-127, 127], factorTrials([1]), (block, at) => {
    for (let i = 0; i < 32; i++) {
      block.setInt8(at + 2 + i, (numbers[i] ?? 0) - 127);
    }
  }),
  Q4_0: withScale([-8, 7], scaleTrials, (block, at) => {
    storeCodes(block, at + 2, 4, 0);
  }),
  Q5_0: withScale([-16, 15], scaleTrials, (block, at) => {
    storeCodes(block, at + 2, 5, 0);
  }),
  Q4_1: withMinimum(4),
  Q5_1: withMinimum(5),
  Q2_K: withPackedMinima(16, 3, packedPairs, storeQ2K),
  Q3_K: withSignedScales(16, [-4, 3], scalesQ3K, storeQ3K),
  Q4_K: withPackedMinima(32, 15, packedSixBits, storeQ4K),
  Q5_K: withPackedMinima(32, 31, packedSixBits, storeQ5K),
  Q6_K: withSignedScales(16, [-32, 31], scalesQ6K, storeQ6K),
  IQ4_NL: {
    ...withScale(bookRange, scaleTrials, (block, at) => {
      storeIQ4(block, at + 2, 0);
    }),
    book: nonLinearValues,
  },
  IQ4_XS: {
    ...withSignedScales(32, bookRange, scalesIQ4XS, (block, at) => {
      for (let group = 0; group < 8; group++) {
        storeIQ4(block, at + 8 + 16 * group, 32 * group);
      }
    }),
    book: nonLinearValues,
  },
};

export const isBlockType = (type: WritableType | undefined): type is BlockType =>
  type !== undefined && Object.hasOwn(blockCodecs, type);
