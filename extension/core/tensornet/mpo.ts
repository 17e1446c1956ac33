import { UserError } from '../user-error';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { Rows } from '../linear-algebra/matrix-source';
import { leading, randomizedSvd } from './randomized-svd';
import type { LowRank } from './randomized-svd';
import { transpose } from './tensor-values';
import { say } from '../message';

/** Layout of a matrix [Π out, Π in] on sites. */
export interface SiteSizes {
  /** o₁ … o_N */
  readonly out: readonly number[];
  /** i₁ … i_N */
  readonly in: readonly number[];
}

/** One site: [left bond, out, in, right bond], row-major. */
export interface MpoCore {
  readonly shape: readonly [number, number, number, number];
  readonly numbers: Float32Array;
}

/** Matrix as a matrix product operator (CompactifAI, arXiv 2401.14109, § 2). */
export interface Mpo {
  readonly sites: SiteSizes;
  readonly cores: readonly MpoCore[];
  /** Squared Frobenius norm dropped by the truncations, summed over the bonds; an upper bound of the error. */
  readonly droppedSquares: number;
}

/** Divides a size into `count` factors that are as equal as possible: 11008 into 16 · 16 · 43. */
export function factorize(size: number, count: number): number[] {
  if (!Number.isSafeInteger(size) || size < 1 || !Number.isSafeInteger(count) || count < 1) {
    throw new RangeError(`${size} cannot be divided into ${count} factors`);
  }
  const factors: number[] = [];
  let rest = size;
  for (let left = count; left > 1; left--) {
    const factor = nearestDivisor(rest, rest ** (1 / left));
    factors.push(factor);
    rest /= factor;
  }
  return [...factors, rest].sort((a, b) => a - b);
}

/** Divisor closest to `wanted` by ratio; the smaller one of two. */
function nearestDivisor(size: number, wanted: number): number {
  let best = 1;
  for (let divisor = 1; divisor * divisor <= size; divisor++) {
    if (size % divisor === 0) {
      for (const candidate of [divisor, size / divisor]) {
        if (distance(candidate, wanted) < distance(best, wanted)) {
          best = candidate;
        }
      }
    }
  }
  return best;
}

function distance(a: number, b: number): number {
  return Math.abs(Math.log(a / b));
}

/** Maximum useful bond dimensions between the sites: min(Π_{≤k} o·i, Π_{>k} o·i), at most χ. */
export function bondSizes({ out, in: inputs }: SiteSizes, bond: number): number[] {
  const sizes = out.map((size, k) => size * (inputs[k] ?? 1));
  return sizes.slice(0, -1).map((_, k) => {
    const product = (part: readonly number[]): number => part.reduce((all, size) => all * size, 1);
    return Math.min(bond, product(sizes.slice(0, k + 1)), product(sizes.slice(k + 1)));
  });
}

/** Σ χ_{k−1}·o_k·i_k·χ_k. */
export function countParameters(sites: SiteSizes, bond: number): number {
  const bonds = [1, ...bondSizes(sites, bond), 1];
  return sites.out.reduce(
    (sum, size, k) => sum + (bonds[k] ?? 1) * size * (sites.in[k] ?? 1) * (bonds[k + 1] ?? 1),
    0,
  );
}

/** Largest bond dimension with at most `parameters` parameters, or undefined if not even 1 fits. */
export function bondFor(sites: SiteSizes, parameters: number): number | undefined {
  const most = Math.max(1, ...bondSizes(sites, Number.POSITIVE_INFINITY));
  let [low, high] = [0, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (countParameters(sites, middle) <= parameters) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low === 0 ? undefined : low;
}

/**
 * Tensorizes a matrix [out, in] by truncated SVDs from the first site to the last; isometries stay in the left cores,
 * the singular values move right. Returns a function for any bond dimension up to `highest`, which shares the first
 * SVD.
 * @throws UserError if the sites don't fit the matrix, or it contains NaN or infinity
 */
export async function tensorize(
  products: MatrixProducts,
  name: string,
  matrix: Rows,
  sites: SiteSizes,
  highest: number,
  seed = 0,
): Promise<(bond: number) => Promise<Mpo>> {
  checkSites(name, matrix, sites, highest);
  const decompose = async (
    k: number,
    left: number,
    rest: Float32Array,
    rank: number,
  ): Promise<LowRank> => {
    const count = left * (sites.out[k] ?? 1) * (sites.in[k] ?? 1);
    const rows = { count, length: rest.length / count, numbers: rest };
    const source = { kind: 'numbers', name: `${name} at bond ${k + 1}`, rows } as const;
    return randomizedSvd(products, source, { rank, seed });
  };
  const [most = 1] = bondSizes(sites, highest);
  const first = await decompose(0, 1, interleave(matrix.numbers, sites), most);
  return async (bond) => {
    const bonds = bondSizes(sites, bond);
    const last = sites.out.length - 1;
    const cores: MpoCore[] = [];
    let droppedSquares = 0;
    let rest: Float32Array = new Float32Array();
    let left = 1;
    for (const [k, rank] of bonds.entries()) {
      const found = k === 0 ? leading(first, rank) : await decompose(k, left, rest, rank);
      const [out = 1, input = 1] = [sites.out[k], sites.in[k]];
      cores.push({ shape: [left, out, input, rank], numbers: transpose(found.left) });
      droppedSquares += found.error ** 2;
      rest = found.right.numbers;
      left = rank;
    }
    cores.push({ shape: [left, sites.out[last] ?? 1, sites.in[last] ?? 1, 1], numbers: rest });
    return { sites, cores, droppedSquares };
  };
}

function checkSites(name: string, { count, length }: Rows, sites: SiteSizes, bond: number): void {
  const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
  const fits =
    sites.out.length === sites.in.length &&
    sites.out.length >= 2 &&
    product(sites.out) === count &&
    product(sites.in) === length;
  if (!fits) {
    throw new UserError(
      'sites-mismatch',
      say`Sites [${sites.out.join(', ')}] × [${sites.in.join(', ')}] don't form a matrix of ${count} × ${length}.`,
      {
        field: name,
        remedy: say`Pass two or more factors for each side, with the sizes as their products.`,
      },
    );
  }
  if (!Number.isSafeInteger(bond) || bond < 1) {
    throw new UserError(
      'bond-dimension-invalid',
      say`A bond dimension must be an integer of at least 1, not ${bond}.`,
      { field: name, remedy: undefined },
    );
  }
}

/** Contracts the cores to the matrix [out, in]. */
export async function contract(
  products: MatrixProducts,
  { sites, cores }: Pick<Mpo, 'sites' | 'cores'>,
): Promise<Rows> {
  const [first, ...others] = cores;
  let whole = first?.numbers ?? new Float32Array();
  let bond = first?.shape[3] ?? 1;
  for (const { shape, numbers } of others) {
    const rows = { count: bond, length: numbers.length / bond, numbers };
    const vectors = { count: whole.length / bond, length: bond, numbers: whole };
    whole = (await products.applyTransposed({ kind: 'numbers', name: 'core', rows }, vectors))
      .numbers;
    bond = shape[3];
  }
  return {
    count: sites.out.reduce((all, size) => all * size, 1),
    length: sites.in.reduce((all, size) => all * size, 1),
    numbers: deinterleave(whole, sites),
  };
}

/** [o₁ … o_N, i₁ … i_N] → [o₁, i₁, o₂, i₂, …]. */
function interleave(numbers: Float32Array, sites: SiteSizes): Float32Array {
  const { places, run } = interleavedRuns(sites);
  const result = new Float32Array(numbers.length);
  let to = 0;
  for (let from of places) {
    // Runs are too short for subarrays.
    for (const end = from + run; from < end; from++) {
      result[to++] = numbers[from] ?? 0;
    }
  }
  return result;
}

function deinterleave(numbers: Float32Array, sites: SiteSizes): Float32Array {
  const { places, run } = interleavedRuns(sites);
  const result = new Float32Array(numbers.length);
  let from = 0;
  for (let to of places) {
    for (const end = to + run; to < end; to++) {
      result[to] = numbers[from++] ?? 0;
    }
  }
  return result;
}

/** Start offset in the matrix of each run of i_N contiguous elements. */
function interleavedRuns({ out, in: inputs }: SiteSizes): { places: Uint32Array; run: number } {
  const columns = inputs.reduce((all, size) => all * size, 1);
  const last = out.length - 1;
  let places = Uint32Array.of(0);
  let [rowStep, columnStep] = [out.reduce((all, size) => all * size, 1) * columns, columns];
  out.forEach((size, k) => {
    const width = k === last ? 1 : (inputs[k] ?? 1);
    rowStep /= size;
    columnStep /= width;
    const next = new Uint32Array(places.length * size * width);
    let at = 0;
    for (const place of places) {
      for (let o = 0; o < size; o++) {
        for (let i = 0; i < width; i++) {
          next[at++] = place + o * rowStep + i * columnStep;
        }
      }
    }
    places = next;
  });
  return { places, run: inputs[last] ?? 1 };
}
