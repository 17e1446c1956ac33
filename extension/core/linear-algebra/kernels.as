// Loops of compression, vectorized over two or four numbers: rounding with error feedback, scales of blocks, triangular
// matrices, and tridiagonalization. Pointers are byte offsets of float32 or float64 elements, as declared in
// kernels.ts. AssemblyScript; node scripts/generate.mjs compiles it to kernels-bytes.ts.

@inline
function pick(mask: v128, one: v128, other: v128): v128 {
  return v128.bitselect(one, other, mask);
}

/** Packs the lowest byte of each lane of four vectors into 16 bytes. */
@inline
function lowBytes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = v128.shuffle<u8>(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
  const cd = v128.shuffle<u8>(c, d, 0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
  return v128.shuffle<u8>(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

/** Rounds four targets to integers, as float32; stores their errors at both addresses. */
@inline
function roundFour(
  target: v128, weights: usize, scales: usize, zeros: usize, low: v128, high: v128, error: usize,
  kept: usize,
): v128 {
  const scale = v128.load(scales);
  const zero = v128.load(zeros);
  const nearest = f32x4.floor(f32x4.add(f32x4.div(target, scale), f32x4.splat(0.5)));
  const q = f32x4.pmin(f32x4.pmax(f32x4.add(nearest, zero), low), high);
  const integer = pick(f32x4.eq(scale, f32x4.splat(0)), zero, q);
  const stands = f32x4.mul(f32x4.sub(integer, zero), scale);
  const difference = f32x4.sub(v128.load(weights), stands);
  v128.store(error, difference);
  v128.store(kept, difference);
  return i32x4.trunc_sat_f32x4_s(integer);
}

/**
 * Rounds `step` inputs of `rows` outputs, a multiple of 16, from the last input to the first.
 * @param targets [step, rows], like `weights` and `errors` (weight minus rounded weight)
 * @param factors [step, step]: change of target j per error of a later row k; 0 is skipped
 * @param scales of each output, like `zeros`; those of the next input are `apart` bytes further
 * @param numbers [step, rows] bytes: receives the integers, `low` to `high`
 * @param panel scratch for the errors of 16 outputs, [step, 16]
 */
export function roundStep(
  step: i32, rows: i32, targets: usize, weights: usize, factors: usize, scales: usize,
  zeros: usize, apart: usize, low: f32, high: f32, errors: usize, numbers: usize, panel: usize,
): void {
  const least = f32x4.splat(low);
  const most = f32x4.splat(high);
  for (let row = 0; row < rows; row += 16) {
    for (let j = step - 1; j >= 0; j--) {
      const place = j * rows + row;
      const at = <usize>place << 2;
      let t0 = v128.load(targets + at);
      let t1 = v128.load(targets + at, 16);
      let t2 = v128.load(targets + at, 32);
      let t3 = v128.load(targets + at, 48);
      if (factors !== 0) {
        let factor = factors + (<usize>(j * step + j + 1) << 2);
        const end = panel + (<usize>step << 6);
        for (let error = panel + (<usize>(j + 1) << 6); error < end; error += 64) {
          const f = v128.load32_splat(factor);
          t0 = f32x4.add(t0, f32x4.mul(f, v128.load(error)));
          t1 = f32x4.add(t1, f32x4.mul(f, v128.load(error, 16)));
          t2 = f32x4.add(t2, f32x4.mul(f, v128.load(error, 32)));
          t3 = f32x4.add(t3, f32x4.mul(f, v128.load(error, 48)));
          factor += 4;
        }
      }
      const own = panel + (<usize>j << 6);
      const e = errors + at;
      const grid = (<usize>row << 2) + <usize>j * apart;
      const s = scales + grid;
      const z = zeros + grid;
      const q0 = roundFour(t0, weights + at, s, z, least, most, own, e);
      const q1 = roundFour(t1, weights + at + 16, s + 16, z + 16, least, most, own + 16, e + 16);
      const q2 = roundFour(t2, weights + at + 32, s + 32, z + 32, least, most, own + 32, e + 32);
      const q3 = roundFour(t3, weights + at + 48, s + 48, z + 48, least, most, own + 48, e + 48);
      v128.store(numbers + place, lowBytes(q0, q1, q2, q3));
    }
  }
}

/**
 * Rounds four targets and returns their codes. Stores their errors, and adds `cost` times the squared error to `costs`.
 */
@inline
function roundFourTo(
  target: v128, weights: usize, scales: usize, offsets: usize, low: v128, high: v128, book: usize, cost: v128,
  costs: usize, error: usize, kept: usize,
): v128 {
  const scale = v128.load(scales);
  const offset = v128.load(offsets);
  const zero = f32x4.splat(0);
  const place = pick(f32x4.eq(scale, zero), zero, f32x4.div(f32x4.sub(target, offset), scale));
  let code = zero;
  let value = zero;
  if (book === 0) {
    code = f32x4.pmin(f32x4.pmax(f32x4.nearest(place), low), high);
    value = code;
  } else {
    value = v128.load32_splat(book);
    for (let border = book + 4; border < book + 64; border += 4) {
      const isPast = f32x4.ge(place, v128.load32_splat(border));
      code = f32x4.add(code, v128.and(isPast, f32x4.splat(1)));
      value = f32x4.add(value, v128.and(isPast, v128.load32_splat(border, 60)));
    }
  }
  const stands = f32x4.add(f32x4.mul(scale, value), offset);
  const difference = f32x4.sub(v128.load(weights), stands);
  v128.store(error, difference);
  v128.store(kept, difference);
  const missed = f32x4.sub(target, stands);
  v128.store(costs, f32x4.add(v128.load(costs), f32x4.mul(cost, f32x4.mul(missed, missed))));
  return i32x4.trunc_sat_f32x4_s(f32x4.sub(code, low));
}

/**
 * Rounds a group of `step` inputs like `roundStep`, to scale · q + offset. Tries several scales per output: trial t of
 * output o is row t · outputs + o of every array except `targets` and `weights`.
 * @param rows outputs, a multiple of 16
 * @param low smallest integer q, `high` the largest; codes are stored minus `low`
 * @param book lowest value of a code book, then 15 boundaries and 15 increments; codes are integers if 0
 * @param importance [step] float32: weight of each input's squared error
 * @param costs [trials, rows] float32: receives the cost of each trial
 */
export function roundGroup(
  step: i32, rows: i32, trials: i32, targets: usize, weights: usize, factors: usize, scales: usize,
  offsets: usize, low: f32, high: f32, book: usize, importance: usize, errors: usize, numbers: usize, costs: usize,
  panel: usize,
): void {
  const least = f32x4.splat(low);
  const most = f32x4.splat(high);
  memory.fill(costs, 0, <usize>(trials * rows) << 2);
  for (let trial = 0; trial < trials; trial++) {
    const ahead = <usize>trial * <usize>step * <usize>rows;
    for (let row = 0; row < rows; row += 16) {
      const grid = <usize>(trial * rows + row) << 2;
      const s = scales + grid;
      const z = offsets + grid;
      const c = costs + grid;
      for (let j = step - 1; j >= 0; j--) {
        const place = <usize>(j * rows + row);
        const at = place << 2;
        let t0 = v128.load(targets + at);
        let t1 = v128.load(targets + at, 16);
        let t2 = v128.load(targets + at, 32);
        let t3 = v128.load(targets + at, 48);
        let factor = factors + (<usize>(j * step + j + 1) << 2);
        const end = panel + (<usize>step << 6);
        for (let error = panel + (<usize>(j + 1) << 6); error < end; error += 64) {
          const f = v128.load32_splat(factor);
          t0 = f32x4.add(t0, f32x4.mul(f, v128.load(error)));
          t1 = f32x4.add(t1, f32x4.mul(f, v128.load(error, 16)));
          t2 = f32x4.add(t2, f32x4.mul(f, v128.load(error, 32)));
          t3 = f32x4.add(t3, f32x4.mul(f, v128.load(error, 48)));
          factor += 4;
        }
        const own = panel + (<usize>j << 6);
        const cost = v128.load32_splat(importance + (<usize>j << 2));
        const e = errors + (ahead << 2) + at;
        const w = weights + at;
        const q0 = roundFourTo(t0, w, s, z, least, most, book, cost, c, own, e);
        const q1 = roundFourTo(t1, w + 16, s + 16, z + 16, least, most, book, cost, c + 16, own + 16, e + 16);
        const q2 = roundFourTo(t2, w + 32, s + 32, z + 32, least, most, book, cost, c + 32, own + 32, e + 32);
        const q3 = roundFourTo(t3, w + 48, s + 48, z + 48, least, most, book, cost, c + 48, own + 48, e + 48);
        v128.store(numbers + ahead + place, lowBytes(q0, q1, q2, q3));
      }
    }
  }
}

/** Fractions of a block's range that the search tries. */
export const shares: usize = 0;
const shareCount = 8;

let explainedMost: v128 = i32x4.splat(0);
let bestScale: v128 = i32x4.splat(0);
let bestZero: v128 = i32x4.splat(0);

@inline
function rounded32(value: v128): v128 {
  return f64x2.promote_low_f32x4(f32x4.demote_f64x2_zero(value));
}

/** Rounds two blocks, each with its scale, and refits the scales to these integers. */
function attempt(count: i32, blocks: usize, costs: usize, most: v128, scale: v128, zero: v128): void {
  const none = f64x2.splat(0);
  const inverse = f64x2.div(f64x2.splat(1), scale);
  const middle = f64x2.add(zero, f64x2.splat(0.5));
  let along = none;
  let squares = none;
  const end = blocks + (<usize>count << 4);
  for (let at = blocks; at < end; at += 16) {
    const x = v128.load(at);
    const place = f64x2.add(f64x2.mul(x, inverse), middle);
    const q = f64x2.sub(f64x2.trunc(f64x2.pmin(f64x2.pmax(place, none), most)), zero);
    const weighed = f64x2.mul(q, v128.load64_splat(costs));
    along = f64x2.add(along, f64x2.mul(weighed, x));
    squares = f64x2.add(squares, f64x2.mul(weighed, q));
    costs += 8;
  }
  const isSome = f64x2.gt(squares, none);
  const explained = v128.and(isSome, f64x2.div(f64x2.mul(along, along), squares));
  const isBetter = f64x2.gt(explained, explainedMost);
  explainedMost = pick(isBetter, explained, explainedMost);
  const fitted = pick(isSome, rounded32(f64x2.div(along, squares)), scale);
  bestScale = pick(isBetter, fitted, bestScale);
  bestZero = pick(isBetter, zero, bestZero);
}

@inline
function storeTwo(to: usize, value: v128): void {
  v128.store64_lane(to, f32x4.demote_f64x2_zero(value), 0);
}

/**
 * Finds scales and zeros of blocks of `count` weights, for an even number of `rows`; see block-grid.ts.
 * @param values [count, rows]
 * @param costs weight of each element's squared error, float64
 * @param blocks scratch for [count, 2] float64
 */
export function fitScales(
  count: i32, rows: i32, half: f64, isAsymmetric: bool, searches: bool, values: usize,
  costs: usize, scales: usize, zeros: usize, blocks: usize,
): void {
  const none = f64x2.splat(0);
  const most = f64x2.splat(2 * half - 1);
  for (let row = 0; row < rows; row += 2) {
    let low = none;
    let high = none;
    for (let i = 0; i < count; i++) {
      const x = f64x2.promote_low_f32x4(v128.load64_zero(values + (<usize>(i * rows + row) << 2)));
      v128.store(blocks + (<usize>i << 4), x);
      low = f64x2.pmin(low, x);
      high = f64x2.pmax(high, x);
    }
    const negative = f64x2.neg(low);
    const wide = isAsymmetric ? f64x2.sub(high, low) : f64x2.pmax(negative, high);
    const largest = pick(f64x2.gt(high, negative), high, low);
    for (let i = 0; i < shareCount; i++) {
      const share = v128.load64_splat(shares + (<usize>i << 3));
      const scale = rounded32(f64x2.div(f64x2.mul(wide, share), isAsymmetric ? most : f64x2.splat(half - 1)));
      let zero = f64x2.splat(half);
      if (isAsymmetric) {
        const place = f64x2.div(f64x2.mul(negative, share), scale);
        const nearest = f64x2.floor(f64x2.add(place, f64x2.splat(0.5)));
        zero = pick(f64x2.eq(scale, none), none, f64x2.pmin(nearest, most));
      }
      if (i == 0) {
        // The full range, used if no trial is better than another.
        explainedMost = pick(f64x2.eq(scale, none), f64x2.splat(Infinity), f64x2.splat(-Infinity));
        bestScale = scale;
        bestZero = zero;
        if (!searches) break;
      }
      attempt(count, blocks, costs, most, scale, zero);
      if (!isAsymmetric) {
        // The lowest integer, which has no positive counterpart, represents the largest weight.
        const longer = f64x2.div(f64x2.mul(f64x2.neg(largest), share), f64x2.splat(half));
        attempt(count, blocks, costs, most, rounded32(longer), zero);
      }
    }
    storeTwo(scales + (<usize>row << 2), bestScale);
    storeTwo(zeros + (<usize>row << 2), bestZero);
  }
}

/** Σ x·y of two float64 arrays. */
function dot(x: usize, y: usize, count: i32): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  let i = 0;
  for (; i + 8 <= count; i += 8) {
    a = f64x2.add(a, f64x2.mul(v128.load(x), v128.load(y)));
    b = f64x2.add(b, f64x2.mul(v128.load(x, 16), v128.load(y, 16)));
    c = f64x2.add(c, f64x2.mul(v128.load(x, 32), v128.load(y, 32)));
    d = f64x2.add(d, f64x2.mul(v128.load(x, 48), v128.load(y, 48)));
    x += 64;
    y += 64;
  }
  const both = f64x2.add(f64x2.add(a, b), f64x2.add(c, d));
  let sum = f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
  for (; i < count; i++) {
    sum += load<f64>(x) * load<f64>(y);
    x += 8;
    y += 8;
  }
  return sum;
}

/** x ← x − factor·y. */
function subtractScaled(x: usize, y: usize, factor: f64, count: i32): void {
  const factors = f64x2.splat(factor);
  let i = 0;
  for (; i + 2 <= count; i += 2) {
    v128.store(x, f64x2.sub(v128.load(x), f64x2.mul(factors, v128.load(y))));
    x += 16;
    y += 16;
  }
  if (i < count) store<f64>(x, load<f64>(x) - factor * load<f64>(y));
}

/** Replaces the lower triangle of a symmetric matrix by its Cholesky factor; false if it isn't positive definite. */
export function cholesky(size: i32, a: usize): bool {
  const stride = <usize>size << 3;
  for (let row = 0; row < size; row++) {
    const own = a + <usize>row * stride;
    for (let column = 0; column < row; column++) {
      const other = a + <usize>column * stride;
      const at = own + (<usize>column << 3);
      store<f64>(at, (load<f64>(at) - dot(own, other, column)) / load<f64>(other + (<usize>column << 3)));
    }
    const at = own + (<usize>row << 3);
    const rest = load<f64>(at) - dot(own, own, row);
    if (!(rest > 0)) return false;
    store<f64>(at, sqrt<f64>(rest));
  }
  return true;
}

/** L⁻¹ of a lower triangular matrix, into zeroed memory. Row by row, so that memory is read sequentially. */
export function invertLower(size: i32, lower: usize, inverse: usize): void {
  const stride = <usize>size << 3;
  for (let row = 0; row < size; row++) {
    const target = inverse + <usize>row * stride;
    const own = lower + <usize>row * stride;
    store<f64>(target + (<usize>row << 3), 1);
    for (let k = 0; k < row; k++) {
      subtractScaled(target, inverse + <usize>k * stride, load<f64>(own + (<usize>k << 3)), k + 1);
    }
    const diagonal = load<f64>(own + (<usize>row << 3));
    for (let column = 0; column <= row; column++) {
      const at = target + (<usize>column << 3);
      store<f64>(at, load<f64>(at) / diagonal);
    }
  }
}

/**
 * A ← A − v·wᵀ − w·vᵀ on the lower triangle of the rows and columns `from` to `to`, then y ← y + A·x there. Pointers of
 * vectors refer to element 0.
 */
function moveTriangle(from: i32, to: i32, bytes: usize, a: usize, v: usize, w: usize, x: usize, y: usize): void {
  for (let i = from; i < to; i++) {
    const here = <usize>i << 3;
    const row = a + <usize>i * bytes;
    const vi = load<f64>(v + here);
    const wi = load<f64>(w + here);
    const xi = load<f64>(x + here);
    const corner = load<f64>(row + here) - 2 * vi * wi;
    store<f64>(row + here, corner);
    let sum = corner * xi;
    for (let j = <usize>from << 3; j < here; j += 8) {
      const moved = load<f64>(row + j) - vi * load<f64>(w + j) - wi * load<f64>(v + j);
      store<f64>(row + j, moved);
      sum += moved * load<f64>(x + j);
      store<f64>(y + j, load<f64>(y + j) + moved * xi);
    }
    store<f64>(y + here, load<f64>(y + here) + sum);
  }
}

@inline
function moved(at: usize, vi: v128, wi: v128, vj: v128, wj: v128): v128 {
  const next = f64x2.sub(f64x2.sub(v128.load(at), f64x2.mul(vi, wj)), f64x2.mul(wi, vj));
  v128.store(at, next);
  return next;
}

@inline
function addSum(to: usize, sums: v128): void {
  store<f64>(to, load<f64>(to) + f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1));
}

/** Does the same for the rows and columns from `start`, two rows at a time. */
function moveAndMultiply(size: i32, start: i32, a: usize, v: usize, w: usize, x: usize, y: usize): void {
  const bytes = <usize>size << 3;
  const first = start + ((size - start) & 1);
  moveTriangle(start, first, bytes, a, v, w, x, y);
  for (let i = first; i < size; i += 2) {
    const here = <usize>i << 3;
    const r0 = a + <usize>i * bytes;
    const r1 = r0 + bytes;
    const v0 = v128.load64_splat(v + here);
    const v1 = v128.load64_splat(v + here + 8);
    const w0 = v128.load64_splat(w + here);
    const w1 = v128.load64_splat(w + here + 8);
    const x0 = v128.load64_splat(x + here);
    const x1 = v128.load64_splat(x + here + 8);
    let s0 = f64x2.splat(0);
    let s1 = f64x2.splat(0);
    let j = <usize>start << 3;
    if ((i - start) & 1) {
      // Vectors whose second lane is unused.
      const vj = v128.load64_zero(v + j);
      const wj = v128.load64_zero(w + j);
      const one = f64x2.sub(f64x2.sub(v128.load64_zero(r0 + j), f64x2.mul(v0, wj)), f64x2.mul(w0, vj));
      const other = f64x2.sub(f64x2.sub(v128.load64_zero(r1 + j), f64x2.mul(v1, wj)), f64x2.mul(w1, vj));
      v128.store64_lane(r0 + j, one, 0);
      v128.store64_lane(r1 + j, other, 0);
      const xj = v128.load64_zero(x + j);
      s0 = f64x2.mul(one, xj);
      s1 = f64x2.mul(other, xj);
      const both = f64x2.add(f64x2.mul(one, x0), f64x2.mul(other, x1));
      store<f64>(y + j, load<f64>(y + j) + f64x2.extract_lane(both, 0));
      j += 8;
    }
    for (; j < here; j += 16) {
      const vj = v128.load(v + j);
      const wj = v128.load(w + j);
      const xj = v128.load(x + j);
      const one = moved(r0 + j, v0, w0, vj, wj);
      const other = moved(r1 + j, v1, w1, vj, wj);
      s0 = f64x2.add(s0, f64x2.mul(one, xj));
      s1 = f64x2.add(s1, f64x2.mul(other, xj));
      const both = f64x2.add(f64x2.mul(one, x0), f64x2.mul(other, x1));
      v128.store(y + j, f64x2.add(v128.load(y + j), both));
    }
    addSum(y + here, s0);
    addSum(y + here + 8, s1);
    moveTriangle(i, i + 2, bytes, a, v, w, x, y);
  }
}

/**
 * Householder reduction of a symmetric matrix [size, size]. Reads and overwrites the lower triangle: afterwards row k
 * holds reflection k from element k + 1 on. Applying one reflection and multiplying by the next vector is one pass over
 * the triangle.
 * @param off [size], like `factors`; the diagonal of T is that of `a` afterwards
 * @param room scratch for 4 · `size` float64
 */
export function tridiagonalize(size: i32, a: usize, off: usize, factors: usize, room: usize): void {
  const bytes = <usize>size << 3;
  // v and w of the pending reflection, and of the next one.
  let v = room;
  let w = v + bytes;
  let nextV = w + bytes;
  let nextW = nextV + bytes;
  memory.fill(v, 0, bytes << 1);
  for (let k = 0; k < size - 2; k++) {
    const start = k + 1;
    // Column k after the previous reflection.
    const vk = load<f64>(v + (<usize>k << 3));
    const wk = load<f64>(w + (<usize>k << 3));
    let square: f64 = 0;
    for (let i = <usize>k; i < <usize>size; i++) {
      const at = a + i * bytes + (<usize>k << 3);
      const x = load<f64>(at) - load<f64>(v + (i << 3)) * wk - load<f64>(w + (i << 3)) * vk;
      store<f64>(at, x);
      if (i > <usize>k) {
        store<f64>(nextV + (i << 3), x);
        square += x * x;
      }
    }
    const firstAt = nextV + (<usize>start << 3);
    const first = load<f64>(firstAt);
    const norm = first > 0 ? -sqrt<f64>(square) : sqrt<f64>(square);
    // ‖v‖² = 2·norm·(norm − first), and H = I − factor·v·vᵀ.
    const factor: f64 = norm == 0 ? 0 : 1 / (norm * (norm - first));
    store<f64>(firstAt, first - norm);
    store<f64>(off + (<usize>k << 3), norm);
    store<f64>(factors + (<usize>k << 3), factor);
    memory.fill(nextW, 0, bytes);
    moveAndMultiply(size, start, a, v, w, nextV, nextW);
    const along = factor * dot(firstAt, nextW + (<usize>start << 3), size - start);
    const halfAlong = (along * factor) / 2;
    for (let i = <usize>start; i < <usize>size; i++) {
      const at = nextW + (i << 3);
      store<f64>(at, factor * load<f64>(at) - halfAlong * load<f64>(nextV + (i << 3)));
    }
    memory.copy(a + <usize>k * bytes + (<usize>start << 3), firstAt, <usize>(size - start) << 3);
    const oldV = v;
    const oldW = w;
    v = nextV;
    w = nextW;
    nextV = oldV;
    nextW = oldW;
  }
  // Applies the last reflection; the vectors to multiply are 0.
  memory.fill(nextV, 0, bytes);
  moveTriangle(max(0, size - 2), size, bytes, a, v, w, nextV, nextW);
  if (size > 1) {
    store<f64>(off + (<usize>(size - 2) << 3), load<f64>(a + <usize>(size - 1) * bytes + (<usize>(size - 2) << 3)));
  }
}
