// Decodes the block formats of llama.cpp to float32, and rounds rows to int8. Each value is computed by the float32 operations
// of the reference in their order (gguf.quants, ggml-quants.c), so results are equal to the last bit. AssemblyScript;
// node scripts/generate.mjs makes dequantize-bytes.ts of it.

/** First byte that the caller may use. */
export const heap: usize = 4096;

@inline
function half(at: usize): f32 {
  const bits = <u32>load<u16>(at);
  const sign = (bits & 0x8000) << 16;
  const rest = bits & 0x7fff;
  if (rest >= 0x7c00) return reinterpret<f32>(sign | 0x7f800000 | ((rest & 0x3ff) << 13));
  // 2^112 moves the exponent's bias from 15 to 127; exact for subnormal numbers too.
  const value = reinterpret<f32>(rest << 13) * reinterpret<f32>(0x77800000);
  return reinterpret<f32>(sign | reinterpret<u32>(value));
}

/** Writes 16 integers (i8) times `scale` to float32 at `to`. */
@inline
function scaled(q: v128, scale: f32, to: usize): void {
  const s = f32x4.splat(scale);
  const low = i16x8.extend_low_i8x16_s(q);
  const high = i16x8.extend_high_i8x16_s(q);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), s));
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), s), 16);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), s), 32);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), s), 48);
}

/** The same, plus `offset`. */
@inline
function affine(q: v128, scale: f32, offset: f32, to: usize): void {
  scaled(q, scale, to);
  const o = f32x4.splat(offset);
  v128.store(to, f32x4.add(v128.load(to), o));
  v128.store(to, f32x4.add(v128.load(to, 16), o), 16);
  v128.store(to, f32x4.add(v128.load(to, 32), o), 32);
  v128.store(to, f32x4.add(v128.load(to, 48), o), 48);
}

@inline
function lowNibbles(bytes: v128): v128 {
  return v128.and(bytes, i8x16.splat(15));
}

@inline
function highNibbles(bytes: v128): v128 {
  return i8x16.shr_u(bytes, 4);
}

@inline
function minus(q: v128, offset: i8): v128 {
  return i8x16.sub(q, i8x16.splat(offset));
}

/** 16 bits of a word, from bit 0 or 16 on, each as 16 in a byte of its own. */
@inline
function fifthBits(word: u32): v128 {
  const both = i16x8.splat(<i16>word);
  const spread = i8x16.swizzle(both, i8x16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
  const masks = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  return v128.and(i8x16.eq(v128.and(spread, masks), masks), i8x16.splat(16));
}

/** Bit `shift` of each byte, as `1 << up`. */
@inline
function extractBit(bytes: v128, shift: i32, mask: i8, up: i32): v128 {
  return i8x16.shl(v128.and(i8x16.shr_u(bytes, shift), i8x16.splat(mask)), up);
}

export function q8_0(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 34, to += 128) {
    const d = half(from);
    scaled(v128.load(from, 2), d, to);
    scaled(v128.load(from, 18), d, to + 64);
  }
}

export function q4_0(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 18, to += 128) {
    const d = half(from);
    const bytes = v128.load(from, 2);
    scaled(minus(lowNibbles(bytes), 8), d, to);
    scaled(minus(highNibbles(bytes), 8), d, to + 64);
  }
}

export function q4_1(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 20, to += 128) {
    const d = half(from);
    const m = half(from + 2);
    const bytes = v128.load(from, 4);
    affine(lowNibbles(bytes), d, m, to);
    affine(highNibbles(bytes), d, m, to + 64);
  }
}

export function q5_0(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 22, to += 128) {
    const d = half(from);
    const fifth = load<u32>(from, 2);
    const bytes = v128.load(from, 6);
    scaled(minus(v128.or(lowNibbles(bytes), fifthBits(fifth)), 16), d, to);
    scaled(minus(v128.or(highNibbles(bytes), fifthBits(fifth >> 16)), 16), d, to + 64);
  }
}

export function q5_1(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 24, to += 128) {
    const d = half(from);
    const m = half(from + 2);
    const fifth = load<u32>(from, 4);
    const bytes = v128.load(from, 8);
    affine(v128.or(lowNibbles(bytes), fifthBits(fifth)), d, m, to);
    affine(v128.or(highNibbles(bytes), fifthBits(fifth >> 16)), d, m, to + 64);
  }
}

export function q2_k(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 84) {
    const d = half(from + 80);
    const dMin = half(from + 82);
    for (let group: usize = 0; group < 16; group++, to += 64) {
      const packed = load<u8>(from + group);
      const bytes = v128.load(from + 16 + ((group >> 3) << 5) + ((group & 1) << 4));
      const q = extractBit(bytes, <i32>((group & 7) >> 1) << 1, 3, 0);
      affine(q, d * <f32>(packed & 15), -(dMin * <f32>(packed >> 4)), to);
    }
  }
}

export function q3_k(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 110) {
    const d = half(from + 108);
    for (let group: usize = 0; group < 16; group++, to += 64) {
      const low = (load<u8>(from + 96 + (group & 7)) >> <u8>((group >> 3) << 2)) & 15;
      const high = (load<u8>(from + 104 + (group & 3)) >> <u8>((group >> 2) << 1)) & 3;
      const scale = d * <f32>(<i32>low + (<i32>high << 4) - 32);
      const pairs = v128.load(from + 32 + ((group >> 3) << 5) + ((group & 1) << 4));
      const third = v128.load(from + ((group & 1) << 4));
      const q = v128.or(
        extractBit(pairs, <i32>((group & 7) >> 1) << 1, 3, 0),
        extractBit(third, <i32>(group >> 1), 1, 2),
      );
      scaled(minus(q, 4), scale, to);
    }
  }
}

/** Scale `i` of eight, six bits each, packed with eight minima into the twelve bytes at `at`. */
@inline
function sixBitScale(at: usize, i: usize): i32 {
  return i < 4
    ? <i32>load<u8>(at + i) & 63
    : (<i32>load<u8>(at + i + 4) & 15) | ((<i32>load<u8>(at + i - 4) >> 6) << 4);
}

@inline
function sixBitMinimum(at: usize, i: usize): i32 {
  return i < 4
    ? <i32>load<u8>(at + i + 4) & 63
    : (<i32>load<u8>(at + i + 4) >> 4) | ((<i32>load<u8>(at + i) >> 6) << 4);
}

export function q4_k(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 144) {
    const d = half(from);
    const dMin = half(from + 2);
    for (let group: usize = 0; group < 8; group++, to += 128) {
      const s = d * <f32>sixBitScale(from + 4, group);
      const m = -(dMin * <f32>sixBitMinimum(from + 4, group));
      const at = from + 16 + ((group >> 1) << 5);
      const shift = <i32>(group & 1) << 2;
      affine(extractBit(v128.load(at), shift, 15, 0), s, m, to);
      affine(extractBit(v128.load(at, 16), shift, 15, 0), s, m, to + 64);
    }
  }
}

export function q5_k(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 176) {
    const d = half(from);
    const dMin = half(from + 2);
    const low = v128.load(from, 16);
    const high = v128.load(from, 32);
    for (let group: usize = 0; group < 8; group++, to += 128) {
      const s = d * <f32>sixBitScale(from + 4, group);
      const m = -(dMin * <f32>sixBitMinimum(from + 4, group));
      const at = from + 48 + ((group >> 1) << 5);
      const shift = <i32>(group & 1) << 2;
      const one = extractBit(v128.load(at), shift, 15, 0);
      const two = extractBit(v128.load(at, 16), shift, 15, 0);
      affine(v128.or(one, extractBit(low, <i32>group, 1, 4)), s, m, to);
      affine(v128.or(two, extractBit(high, <i32>group, 1, 4)), s, m, to + 64);
    }
  }
}

export function q6_k(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 210) {
    const d = half(from + 208);
    for (let group: usize = 0; group < 16; group++, to += 64) {
      const s = d * <f32>load<i8>(from + 192 + group);
      const groupInHalf = group & 7;
      const nibbles = v128.load(from + ((group >> 3) << 6) + ((groupInHalf & 3) << 4));
      const pairs = v128.load(from + 128 + ((group >> 3) << 5) + ((group & 1) << 4));
      const q = v128.or(
        extractBit(nibbles, <i32>(groupInHalf >> 2) << 2, 15, 0),
        extractBit(pairs, <i32>(groupInHalf >> 1) << 1, 3, 4),
      );
      scaled(minus(q, 32), s, to);
    }
  }
}

@inline
function nonLinear(): v128 {
  return i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
}

export function iq4_nl(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 18, to += 128) {
    const d = half(from);
    const bytes = v128.load(from, 2);
    scaled(i8x16.swizzle(nonLinear(), lowNibbles(bytes)), d, to);
    scaled(i8x16.swizzle(nonLinear(), highNibbles(bytes)), d, to + 64);
  }
}

export function iq4_xs(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 136) {
    const d = half(from);
    for (let group: usize = 0; group < 8; group++, to += 128) {
      const low = (<i32>load<u8>(from + 4 + (group >> 1)) >> (<i32>(group & 1) << 2)) & 15;
      const high = (<i32>load<u8>(from + 2 + (group >> 2)) >> (<i32>(group & 3) << 1)) & 3;
      const s = d * <f32>(low + (high << 4) - 32);
      const bytes = v128.load(from + 8 + (group << 4));
      scaled(i8x16.swizzle(nonLinear(), lowNibbles(bytes)), s, to);
      scaled(i8x16.swizzle(nonLinear(), highNibbles(bytes)), s, to + 64);
    }
  }
}

export function mxfp4(from: usize, count: usize, to: usize): void {
  const values = i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
  for (; count > 0; count--, from += 17, to += 128) {
    // Half of 2^(byte − 127), subnormal for the two least.
    const byte = <u32>load<u8>(from);
    const s = reinterpret<f32>(byte < 2 ? 0x00200000 << byte : (byte - 1) << 23);
    const bytes = v128.load(from, 1);
    scaled(i8x16.swizzle(values, lowNibbles(bytes)), s, to);
    scaled(i8x16.swizzle(values, highNibbles(bytes)), s, to + 64);
  }
}

export function f16(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 2, to += 4) store<f32>(to, half(from));
}

export function bf16(from: usize, count: usize, to: usize): void {
  for (; count > 0; count--, from += 2, to += 4) store<u32>(to, <u32>load<u16>(from) << 16);
}

/**
 * Rounds `length` numbers (float32) to integers within ±127 and stores them `stride` bytes apart.
 * @returns the scale that integers are multiplied with
 */
export function toInt8(from: usize, length: usize, to: usize, stride: usize): f32 {
  let most = f32x4.splat(0);
  const whole = length & ~3;
  for (let i: usize = 0; i < whole; i += 4) {
    most = f32x4.pmax(most, f32x4.abs(v128.load(from + (i << 2))));
  }
  let largest = max(
    max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)),
    max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)),
  );
  for (let i = whole; i < length; i++) largest = max(largest, abs(load<f32>(from + (i << 2))));
  const scale = largest / 127;
  if (!(scale > 0)) {
    for (let i: usize = 0; i < length; i++) store<i8>(to + i * stride, 0);
    return 0;
  }
  const s = f32x4.splat(1 / scale);
  for (let i: usize = 0; i < whole; i += 4, to += 4 * stride) {
    const four = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(from + (i << 2)), s)));
    store<i8>(to, <i8>i32x4.extract_lane(four, 0));
    store<i8>(to + stride, <i8>i32x4.extract_lane(four, 1));
    store<i8>(to + 2 * stride, <i8>i32x4.extract_lane(four, 2));
    store<i8>(to + 3 * stride, <i8>i32x4.extract_lane(four, 3));
  }
  for (let i = whole; i < length; i++, to += stride) {
    store<i8>(to, <i8>nearest(load<f32>(from + (i << 2)) / scale));
  }
  return scale;
}
