import { seededRandom } from '../../data/random';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import { say } from '../../message';
import { argsort } from '../../data/rank-correlation';

/** Maximum number of rows for comparing all pairs. */
const allPairs = 8192;
/** Number of nearest cells that are searched; more if these have too few members. */
const lookedAt = 8;
const rounds = 4;
/** Maximum cell size as a multiple of √n. */
const evenShare = 8;
/** Number of sampled examples per centroid for k-means. */
const perCenter = 40;
/** Maximum number of similarities in memory: 32 MB. */
const maxSimilarities = 1 << 23;
const memoryBytes = 256 * 2 ** 20;

/** Nearest neighbors of each row, [rows, count], nearest first. */
export interface Neighbors {
  readonly count: number;
  readonly indices: Int32Array;
  /** Cosine similarities, 1 for the same direction. */
  readonly similarities: Float32Array;
}

/**
 * Nearest neighbors of unit rows by cosine similarity. Beyond 8192 rows, rows are clustered into √n cells (spherical
 * k-means) and compared with those in the 8 nearest cells: about 8·n·√n similarities instead of n², at most 64·n·√n for
 * uneven cells, with memory for n·count results and 32 MB.
 */
export async function nearestNeighbors(rows: Rows, most: number, job: TaskJob): Promise<Neighbors> {
  const count = Math.min(most, rows.count - 1);
  const indices = new Int32Array(rows.count * count);
  const similarities = new Float32Array(rows.count * count).fill(-2);
  const products = new MatrixProducts('cpu', memoryBytes);
  try {
    const cells = await clusterRows(rows, count, products, job);
    let done = 0;
    for (const { members, candidates } of cells) {
      const others = taken(rows, candidates);
      const atOnce = Math.max(1, Math.floor(maxSimilarities / candidates.length));
      for (let start = 0; start < members.length; start += atOnce) {
        await checkpoint(job.cancellation);
        const rowIds = members.subarray(start, start + atOnce);
        const found = await cosines(products, taken(rows, rowIds), others);
        rowIds.forEach((row, i) => {
          const own = found.subarray(i * candidates.length, (i + 1) * candidates.length);
          keepNearest(own, candidates, row, {
            count,
            indices: indices.subarray(row * count, (row + 1) * count),
            similarities: similarities.subarray(row * count, (row + 1) * count),
          });
        });
        done += rowIds.length;
        job.progress({
          stage: say`Looking for near-duplicates`,
          ...{ done, total: rows.count, unit: 'examples' },
        });
      }
    }
  } finally {
    await products.dispose();
  }
  return { count, indices, similarities };
}

/** Rows of a cell, and the rows they are compared with. */
interface Cell {
  readonly members: Int32Array;
  readonly candidates: Int32Array;
}

/**
 * Clusters rows into cells.
 * @param least minimum number of candidates for each row
 */
async function clusterRows(
  rows: Rows,
  least: number,
  products: MatrixProducts,
  job: TaskJob,
): Promise<Cell[]> {
  const all = Int32Array.from({ length: rows.count }, (_, i) => i);
  if (rows.count <= allPairs) {
    return [{ members: all, candidates: all }];
  }
  const centers = await findCenters(rows, products, job);
  const members: number[][] = Array.from({ length: centers.count }, () => []);
  await eachPart(rows, all, products, centers, job, (row, cosinesOfRow) => {
    members[largest(cosinesOfRow)]?.push(row);
  });
  const largestCell = evenShare * Math.ceil(Math.sqrt(rows.count));
  const cells = members.flatMap((own, center) => splitAt(own, largestCell, center));
  const around = taken(
    centers,
    Int32Array.from(cells, ({ center }) => center),
  );
  const between = await cosines(products, around, around);
  return cells.map(({ own }, cell) => {
    const line = between.subarray(cell * cells.length, (cell + 1) * cells.length);
    return {
      members: Int32Array.from(own),
      // Computed on access: the candidates of all cells would take far more memory than the rows.
      get candidates() {
        const near = argsort(Float64Array.from(line, (cosine) => -cosine));
        const found: number[] = [];
        // The cell itself comes first: because of rounding, or if it is part of a split cell, it may not be the
        // nearest.
        for (const [place, other] of [...new Set([cell, ...near])].entries()) {
          if (place >= lookedAt && found.length > least) {
            break;
          }
          found.push(...(cells[other]?.own ?? []));
        }
        return Int32Array.from(found);
      },
    };
  });
}

/** Splits a cell with too many members, which would take as long as comparing all pairs. */
function splitAt(
  members: readonly number[],
  most: number,
  center: number,
): { readonly own: readonly number[]; readonly center: number }[] {
  return Array.from({ length: Math.ceil(members.length / most) }, (_, part) => ({
    own: members.slice(part * most, (part + 1) * most),
    center,
  }));
}

/** Centroids of √n cells, from a sample of the rows. */
async function findCenters(rows: Rows, products: MatrixProducts, job: TaskJob): Promise<Rows> {
  const { length } = rows;
  const count = Math.round(Math.sqrt(rows.count));
  const random = seededRandom(count);
  const sample = Int32Array.from({ length: Math.min(rows.count, count * perCenter) }, () =>
    Math.floor(random() * rows.count),
  );
  let centers = taken(rows, sample.subarray(0, count));
  for (let round = 0; round < rounds; round++) {
    const sums = new Float32Array(count * length);
    await eachPart(rows, sample, products, centers, job, (row, found) => {
      const cell = largest(found);
      for (let i = 0; i < length; i++) {
        const at = cell * length + i;
        sums[at] = (sums[at] ?? 0) + (rows.numbers[row * length + i] ?? 0);
      }
    });
    centers = unitRows({ count, length, numbers: sums }, centers);
  }
  return centers;
}

/** Calls back with the similarities of each row to all centroids, computed in batches of rows. */
async function eachPart(
  rows: Rows,
  rowIds: Int32Array,
  products: MatrixProducts,
  centers: Rows,
  { cancellation }: TaskJob,
  visit: (row: number, found: Float32Array) => void,
): Promise<void> {
  const atOnce = Math.max(1, Math.floor(maxSimilarities / centers.count));
  for (let start = 0; start < rowIds.length; start += atOnce) {
    await checkpoint(cancellation);
    const part = rowIds.subarray(start, start + atOnce);
    const found = await cosines(products, taken(rows, part), centers);
    part.forEach((row, i) => {
      visit(row, found.subarray(i * centers.count, (i + 1) * centers.count));
    });
  }
}

/** Returns [a.count, b.count]. */
async function cosines(products: MatrixProducts, a: Rows, b: Rows): Promise<Float32Array> {
  return (await products.apply({ kind: 'numbers', name: 'examples', rows: b }, a)).numbers;
}

function taken({ length, numbers }: Rows, rowIds: Int32Array): Rows {
  const chosen = new Float32Array(rowIds.length * length);
  rowIds.forEach((row, i) => {
    chosen.set(numbers.subarray(row * length, (row + 1) * length), i * length);
  });
  return { count: rowIds.length, length, numbers: chosen };
}

/** Normalizes rows to length 1. Zero rows are kept, or replaced by those of `others`. */
export function unitRows({ count, length, numbers }: Rows, others?: Rows): Rows {
  const unit = numbers.slice();
  for (let row = 0; row < count; row++) {
    const own = unit.subarray(row * length, (row + 1) * length);
    const norm = Math.sqrt(own.reduce((sum, x) => sum + x * x, 0));
    if (norm > 0) {
      own.forEach((x, i) => {
        own[i] = x / norm;
      });
    } else if (others !== undefined) {
      own.set(others.numbers.subarray(row * length, (row + 1) * length));
    }
  }
  return { count, length, numbers: unit };
}

function largest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    best = (values[i] ?? 0) > (values[best] ?? 0) ? i : best;
  }
  return best;
}

/** Inserts a row's similarities, except to itself, into its list of largest ones. */
function keepNearest(
  found: Float32Array,
  candidates: Int32Array,
  row: number,
  { count, indices, similarities }: Neighbors,
): void {
  let least = similarities[count - 1] ?? 0;
  for (let i = 0; i < found.length; i++) {
    const cosine = found[i] ?? 0;
    const other = candidates[i] ?? 0;
    if (cosine <= least || other === row) {
      continue;
    }
    let place = count - 1;
    while (place > 0 && (similarities[place - 1] ?? 0) < cosine) {
      similarities[place] = similarities[place - 1] ?? 0;
      indices[place] = indices[place - 1] ?? 0;
      place--;
    }
    similarities[place] = cosine;
    indices[place] = other;
    least = similarities[count - 1] ?? 0;
  }
}
