import { e2m1Values } from './code-books';
import type { SmallFloat } from './lazy-tensor';

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
