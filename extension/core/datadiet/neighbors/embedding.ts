import type { TaskJob } from '../../jobs/child-task';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { StoredEmbedding } from './embedding-schema';
import { maxUmap } from './issue-kinds';
import type { Layout } from './issue-kinds';
import { layOut, minUmap } from './layout';
import { nearestNeighbors, unitRows } from './nearest-neighbors';
import { pack, unpackFloat32, unpackInt32, unpackInt8 } from './packed';
import { principalComponents } from './principal-components';

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
