import { UMAP } from 'umap-js';
import { seededRandom } from '../../data/random';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import type { Rows } from '../../linear-algebra/matrix-source';
import { say } from '../../message';
import type { Layout } from './issue-kinds';
import type { Neighbors } from './nearest-neighbors';

/** Minimum number of examples for UMAP: it needs more examples than neighbors of each, including itself. */
export const minUmap = 17;

/**
 * Positions of examples in two dimensions, [examples, 2]: UMAP (McInnes et al. 2018, arXiv 1802.03426), which preserves
 * neighborhoods, or the first two principal components.
 * @throws CancelledError between two epochs of UMAP
 */
export async function layOut(
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
