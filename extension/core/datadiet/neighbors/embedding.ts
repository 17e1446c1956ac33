import type { TaskJob } from '../../jobs/child-task';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { StoredEmbedding } from './embedding-schema';
import { maxUmap } from './issue-kinds';
import type { Layout } from './issue-kinds';
import { nearestNeighbors, unitRows } from './nearest-neighbors';
import { pack, unpackFloat32, unpackInt32, unpackInt8 } from './embedding-schema';
import { symmetricEigen } from '../../linear-algebra/symmetric-eigen';
import { UMAP } from 'umap-js';
import { seededRandom } from '../../data/random';
import { checkpoint } from '../../jobs/job';
import { say } from '../../message';
import type { Neighbors } from './nearest-neighbors';

/** Number of principal components stored per example. */
const maxComponents = 32;
/** Number of neighbors: for the map, stored, and for the outlier score. */
const [mapped, maxStored, counted] = [15, 5, 10] as const;
/** Quantization scale of unit vectors. */
const unit = 127;

/** Embedding and outlier scores of examples. */
export interface Embedded {
  readonly embedding: StoredEmbedding;
  /** Mean of 1 − cosine to the 10 nearest examples, 0 to 2. */
  readonly outlierScores: number[];
}

/** Variance relative to the largest one below which a component is rounding error. */
const minVariance = 1e-9;

/**
 * Principal component analysis: centered rows projected on the axes of largest variance, in descending order.
 * @param most maximum number of axes; fewer if the remaining variance is 0
 */
export function principalComponents({ count, length, numbers }: Rows, most: number): Rows {
  const mean = new Float64Array(length);
  for (let i = 0; i < numbers.length; i++) {
    mean[i % length] = (mean[i % length] ?? 0) + (numbers[i] ?? 0) / count;
  }
  const centered = numbers.map((x, i) => x - (mean[i % length] ?? 0));
  const { values, vectors } = symmetricEigen({ size: length, numbers: products(centered, length) });
  const least = minVariance * (values[0] ?? 0);
  const axes = Math.max(1, values.subarray(0, most).filter((value) => value > least).length);
  const projected = new Float32Array(count * axes);
  for (let row = 0; row < count; row++) {
    for (let axis = 0; axis < axes; axis++) {
      let sum = 0;
      for (let i = 0; i < length; i++) {
        sum += (centered[row * length + i] ?? 0) * (vectors[axis * length + i] ?? 0);
      }
      projected[row * axes + axis] = sum;
    }
  }
  return { count, length: axes, numbers: projected };
}

/** Lower triangle of Σ xᵀ·x over all rows x. */
function products(numbers: Float32Array, length: number): Float64Array {
  const sums = new Float64Array(length * length);
  for (let start = 0; start < numbers.length; start += length) {
    for (let i = 0; i < length; i++) {
      const x = numbers[start + i] ?? 0;
      for (let j = 0; j <= i; j++) {
        const at = i * length + j;
        sums[at] = (sums[at] ?? 0) + x * (numbers[start + j] ?? 0);
      }
    }
  }
  return sums;
}

/** Minimum number of examples for UMAP: it needs more examples than neighbors of each, including itself. */
const minUmap = 17;

/**
 * Positions of examples in two dimensions, [examples, 2]: UMAP (McInnes et al. 2018, arXiv 1802.03426), which preserves
 * neighborhoods, or the first two principal components.
 * @throws CancelledError between two epochs of UMAP
 */
async function layOut(
  layout: Layout,
  components: Rows,
  neighbors: Neighbors,
  { cancellation, progress }: TaskJob,
): Promise<Float32Array> {
  const { count, length, numbers } = components;
  const points = new Float32Array(2 * count);
  if (layout === 'pca') {
    for (let i = 0; i < count; i++) {
      points[2 * i] = numbers[i * length] ?? 0;
      points[2 * i + 1] = length > 1 ? (numbers[i * length + 1] ?? 0) : 0;
    }
    return points;
  }
  const nearest = neighbors.count;
  const umap = new UMAP({ nNeighbors: nearest + 1, random: seededRandom(0) });
  const neighborRows = <T>(make: (at: number) => T, first: (row: number) => T): T[][] =>
    Array.from({ length: count }, (_, row) => [
      first(row),
      ...Array.from({ length: nearest }, (__, i) => make(row * nearest + i)),
    ]);
  umap.setPrecomputedKNN(
    neighborRows(
      (at) => neighbors.indices[at] ?? 0,
      (row) => row,
    ),
    neighborRows(
      (at) => Math.max(0, 1 - (neighbors.similarities[at] ?? 0)),
      () => 0,
    ),
  );
  // The data is only used for its length, since neighbors are precomputed.
  const total = umap.initializeFit(Array.from({ length: count }, () => []));
  for (let epoch = 0; epoch < total; epoch++) {
    await checkpoint(cancellation);
    umap.step();
    progress({ stage: say`Drawing the map`, done: epoch + 1, total, unit: 'steps' });
  }
  umap.getEmbedding().forEach(([x = 0, y = 0], i) => {
    points[2 * i] = x;
    points[2 * i + 1] = y;
  });
  return points;
}

/**
 * Computes neighbors, outlier scores and a map of examples from their features.
 * @param layout by default, depends on the number of examples
 */
export async function embed(
  features: Rows,
  { layer, layout }: { readonly layer: string; readonly layout?: Layout | undefined },
  job: TaskJob,
): Promise<Embedded> {
  const components = principalComponents(features, maxComponents);
  const { count: examples, length: width } = components;
  const vectors = Int8Array.from(unitRows(components).numbers, (x) => Math.round(unit * x));
  const stored = unitRows({ ...components, numbers: Float32Array.from(vectors) });
  const neighbors = await nearestNeighbors(stored, mapped, job);
  const defaultLayout = examples >= minUmap && examples <= maxUmap ? 'umap' : 'pca';
  const drawn = examples < minUmap ? 'pca' : (layout ?? defaultLayout);
  const points = await layOut(drawn, components, neighbors, job);
  const nearest = Math.min(maxStored, neighbors.count);
  const indices = new Int32Array(examples * nearest);
  const outlierScores: number[] = [];
  for (let row = 0; row < examples; row++) {
    const start = row * neighbors.count;
    indices.set(neighbors.indices.subarray(start, start + nearest), row * nearest);
    const near = neighbors.similarities.subarray(start, start + Math.min(counted, neighbors.count));
    outlierScores.push(near.reduce((sum, cosine) => sum + 1 - cosine, 0) / near.length);
  }
  return {
    embedding: {
      layer,
      width,
      vectors: pack(vectors),
      nearest,
      neighbors: pack(indices),
      layout: drawn,
      points: pack(points),
    },
    outlierScores,
  };
}

/** Decoded embedding. */
export class Embedding {
  readonly #vectors: Int8Array;
  readonly #scales: Float64Array;
  readonly #neighbors: Int32Array;
  /** x and y of each example. */
  public readonly points: Float32Array;
  readonly #width: number;
  readonly #nearest: number;

  public constructor({ vectors, neighbors, points, width, nearest }: StoredEmbedding) {
    this.#vectors = unpackInt8(vectors);
    this.#scales = inverseNorms(this.#vectors, width);
    this.#neighbors = unpackInt32(neighbors);
    this.points = unpackFloat32(points);
    this.#width = width;
    this.#nearest = nearest;
  }

  /** Most similar examples, nearest first. */
  public neighbors(index: number): { readonly index: number; readonly similarity: number }[] {
    return this.similarTo(index, -1).map((other) => ({
      index: other,
      similarity: this.similarity(index, other),
    }));
  }

  /** Stored neighbors with a cosine of at least `least`, nearest first. */
  public similarTo(index: number, least: number): number[] {
    const found: number[] = [];
    for (let i = index * this.#nearest; i < (index + 1) * this.#nearest; i++) {
      const other = this.#neighbors[i] ?? 0;
      if (this.similarity(index, other) < least) {
        break;
      }
      found.push(other);
    }
    return found;
  }

  /** Cosine similarity of two examples. */
  public similarity(a: number, b: number): number {
    const [width, vectors] = [this.#width, this.#vectors];
    let product = 0;
    for (let i = 0; i < width; i++) {
      product += (vectors[a * width + i] ?? 0) * (vectors[b * width + i] ?? 0);
    }
    return product * (this.#scales[a] ?? 0) * (this.#scales[b] ?? 0);
  }
}

/** Factors that scale each vector to length 1; 0 for zero vectors. */
function inverseNorms(vectors: Int8Array, width: number): Float64Array {
  const scales = new Float64Array(vectors.length / width);
  for (let row = 0; row < scales.length; row++) {
    let square = 0;
    for (let i = row * width; i < (row + 1) * width; i++) {
      square += (vectors[i] ?? 0) ** 2;
    }
    scales[row] = square === 0 ? 0 : 1 / Math.sqrt(square);
  }
  return scales;
}
