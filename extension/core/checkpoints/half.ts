import { e2m1Values } from './code-books';
import type { SmallFloat } from './lazy-tensor';

// The float16 package takes 1 µs per value, this 10 ns; Node 20 has no Float16Array.

/** Shares memory with the array below, to read the bits of a float32. */
const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);
/** The bits of 2^−14 as a float32: numbers below have fewer digits in float16. */
const leastNormal = 113 << 23;

/** Converts the bits of a float16 to a number. */
export function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) {
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  return exponent === 0
    ? sign * fraction * 2 ** -24
    : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The bits of the float16 nearest to a float32 (ties to even); infinite above 65504. */
export function numberToHalf(value: number): number {
  single[0] = value;
  return patternToHalf(bits[0] ?? 0);
}

/** Bits of the nearest float16 for the bits of a float32. */
function patternToHalf(pattern: number): number {
  const sign = (pattern >>> 16) & 0x8000;
  const magnitude = pattern & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) {
    return sign | 0x7e00;
  }
  if (magnitude < leastNormal) {
    bits[0] = magnitude;
    return sign | roundToEven((single[0] ?? 0) * 2 ** 24);
  }
  // Rounding may carry into the exponent; the result is still correct.
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | Math.min(0x7c00, (rounded >>> 13) - (112 << 10));
}

/** Converts the bits of float16 values to float32. */
export function halvesToFloats(halves: Uint16Array): Float32Array {
  // A loop over a table: Float32Array.from with a function takes 25 times as long.
  const numbers = buildHalfTable();
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    floats[i] = numbers[halves[i] ?? 0] ?? 0;
  }
  return floats;
}

/** The bits of the float16 numbers nearest to these. */
export function floatsToHalves(floats: Float32Array): Uint16Array {
  const halves = new Uint16Array(floats.length);
  const patterns = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < floats.length; i++) {
    halves[i] = patternToHalf(patterns[i] ?? 0);
  }
  return halves;
}

let table: Float32Array | undefined;

/** The number of each of the 65 536 bit patterns. */
function buildHalfTable(): Float32Array {
  table ??= Float32Array.from({ length: 0x1_0000 }, (_, half) => halfToNumber(half));
  return table;
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/** Table of the values of 8-bit floats: a sign bit, `exponentBits`, then the fraction. */
function smallFloats(
  exponentBits: number,
  special: (exponent: number, fraction: number) => number | undefined,
): readonly number[] {
  const fractionBits = 7 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  return Array.from({ length: 256 }, (_, bits) => {
    const sign = bits < 128 ? 1 : -1;
    const exponent = (bits >> fractionBits) & (2 ** exponentBits - 1);
    const fraction = bits & (2 ** fractionBits - 1);
    const magnitude =
      special(exponent, fraction) ??
      (exponent === 0
        ? (fraction / 2 ** fractionBits) * 2 ** (1 - bias)
        : (1 + fraction / 2 ** fractionBits) * 2 ** (exponent - bias));
    return sign * magnitude;
  });
}

/** Numbers by their byte. E4M3 has no infinities, and NaN where all bits are set (arXiv 2209.05433, table 1). */
const e4m3Values = smallFloats(4, (exponent, fraction) =>
  exponent === 15 && fraction === 7 ? Number.NaN : undefined,
);
const e5m2Values = smallFloats(5, (exponent, fraction) =>
  exponent === 31 ? (fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN) : undefined,
);
/** Powers of two. */
const e8m0Values: readonly number[] = Array.from({ length: 256 }, (_, exponent) =>
  exponent === 255 ? Number.NaN : 2 ** (exponent - 127),
);

/** Numbers of small floats by their bits. */
export const smallFloatValues: Readonly<Record<SmallFloat, readonly number[]>> = {
  E2M1: e2m1Values.map((doubled) => doubled / 2),
  E4M3: e4m3Values,
  E5M2: e5m2Values,
  E8M0: e8m0Values,
};
