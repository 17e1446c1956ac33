import { seededRandom } from '../../data/random';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import { say } from '../../message';
import { argsort } from '../../data/rank-correlation';

/** Up to here every pair is compared. */
const allPairs = 8192;
/** Cells around its own whose members an example is compared with; more where those have too few. */
const lookedAt = 8;
const rounds = 4;
/** A cell has at most so many times √n members. */
const evenShare = 8;
/** Examples of each cell that centres are drawn from. */
const perCentre = 40;
/** Products that are held at once: 32 MB. */
const heldProducts = 1 << 23;
const memoryBytes = 256 * 2 ** 20;

/** The nearest of each row, [rows, count], the nearest first. */
export interface Neighbors {
  readonly count: number;
  readonly indices: Int32Array;
  /** Cosines, 1 for the same direction. */
  readonly similarities: Float32Array;
}

/**
 * Nearest neighbours by the cosine of unit rows. Beyond 8192 rows they are put into √n cells around centres (spherical
 * k-means), and a row is compared with those in the 8 cells nearest to its own: about 8·n·√n products instead of n²,
 * at most 64·n·√n where cells are uneven, and memory for n·count results and 32 MB.
 */
export async function nearestNeighbors(rows: Rows, most: number, job: TaskJob): Promise<Neighbors> {
  const count = Math.min(most, rows.count - 1);
  const indices = new Int32Array(rows.count * count);
  const similarities = new Float32Array(rows.count * count).fill(-2);
  const products = new MatrixProducts('cpu', memoryBytes);
  try {
    const cells = await cellsOf(rows, count, products, job);
    let done = 0;
    for (const { members, candidates } of cells) {
      const others = taken(rows, candidates);
      const atOnce = Math.max(1, Math.floor(heldProducts / candidates.length));
      for (let start = 0; start < members.length; start += atOnce) {
        await checkpoint(job.cancellation);
        const some = members.subarray(start, start + atOnce);
        const found = await cosines(products, taken(rows, some), others);
        some.forEach((row, i) => {
          const own = found.subarray(i * candidates.length, (i + 1) * candidates.length);
          keepNearest(own, candidates, row, {
            count,
            indices: indices.subarray(row * count, (row + 1) * count),
            similarities: similarities.subarray(row * count, (row + 1) * count),
          });
        });
        done += some.length;
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

/** Rows that are compared with those of some cells. */
interface Cell {
  readonly members: Int32Array;
  readonly candidates: Int32Array;
}

/** @param least others that each row is compared with */
async function cellsOf(
  rows: Rows,
  least: number,
  products: MatrixProducts,
  job: TaskJob,
): Promise<Cell[]> {
  const all = Int32Array.from({ length: rows.count }, (_, i) => i);
  if (rows.count <= allPairs) {
    return [{ members: all, candidates: all }];
  }
  const centres = await findCentres(rows, products, job);
  const members: number[][] = Array.from({ length: centres.count }, () => []);
  await eachPart(rows, all, products, centres, job, (row, cosinesOfRow) => {
    members[largest(cosinesOfRow)]?.push(row);
  });
  const largestCell = evenShare * Math.ceil(Math.sqrt(rows.count));
  const cells = members.flatMap((own, centre) => splitAt(own, largestCell, centre));
  const around = taken(
    centres,
    Int32Array.from(cells, ({ centre }) => centre),
  );
  const between = await cosines(products, around, around);
  return cells.map(({ own }, cell) => {
    const line = between.subarray(cell * cells.length, (cell + 1) * cells.length);
    return {
      members: Int32Array.from(own),
      // One at a time: those of all cells would take far more memory than the rows.
      get candidates() {
        const near = argsort(Float64Array.from(line, (cosine) => -cosine));
        const found: number[] = [];
        // Its own is among the nearest, but for rounding and for parts of one cell.
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

/** Parts of a cell that has more members than is fair, which would take the time of all pairs. */
function splitAt(
  members: readonly number[],
  most: number,
  centre: number,
): { readonly own: readonly number[]; readonly centre: number }[] {
  return Array.from({ length: Math.ceil(members.length / most) }, (_, part) => ({
    own: members.slice(part * most, (part + 1) * most),
    centre,
  }));
}

/** Centres of √n cells, of a sample of the rows. */
async function findCentres(rows: Rows, products: MatrixProducts, job: TaskJob): Promise<Rows> {
  const { length } = rows;
  const count = Math.round(Math.sqrt(rows.count));
  const random = seededRandom(count);
  const sample = Int32Array.from({ length: Math.min(rows.count, count * perCentre) }, () =>
    Math.floor(random() * rows.count),
  );
  let centres = taken(rows, sample.subarray(0, count));
  for (let round = 0; round < rounds; round++) {
    const sums = new Float32Array(count * length);
    await eachPart(rows, sample, products, centres, job, (row, found) => {
      const cell = largest(found);
      for (let i = 0; i < length; i++) {
        const at = cell * length + i;
        sums[at] = (sums[at] ?? 0) + (rows.numbers[row * length + i] ?? 0);
      }
    });
    centres = unitRows({ count, length, numbers: sums }, centres);
  }
  return centres;
}

/** Visits the cosines of some rows with all centres, a part of the rows at a time. */
async function eachPart(
  rows: Rows,
  some: Int32Array,
  products: MatrixProducts,
  centres: Rows,
  { cancellation }: TaskJob,
  visit: (row: number, found: Float32Array) => void,
): Promise<void> {
  const atOnce = Math.max(1, Math.floor(heldProducts / centres.count));
  for (let start = 0; start < some.length; start += atOnce) {
    await checkpoint(cancellation);
    const part = some.subarray(start, start + atOnce);
    const found = await cosines(products, taken(rows, part), centres);
    part.forEach((row, i) => {
      visit(row, found.subarray(i * centres.count, (i + 1) * centres.count));
    });
  }
}

/** [a.count, b.count] */
async function cosines(products: MatrixProducts, a: Rows, b: Rows): Promise<Float32Array> {
  return (await products.apply({ kind: 'numbers', name: 'examples', rows: b }, a)).numbers;
}

function taken({ length, numbers }: Rows, some: Int32Array): Rows {
  const chosen = new Float32Array(some.length * length);
  some.forEach((row, i) => {
    chosen.set(numbers.subarray(row * length, (row + 1) * length), i * length);
  });
  return { count: some.length, length, numbers: chosen };
}

/** Rows of length 1; those of length 0 stay, or are as in `others`. */
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

/** Keeps the largest cosines of a row with others, itself left out, by insertion. */
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
