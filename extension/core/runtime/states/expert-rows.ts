import { routedNames } from '../../models/model-emitter';
import { throwMissingInput } from '../step-values';
import { floatsIn, floatTensor } from '../tensors';
import type { Tensor, Tensors } from '../tensors';

/** Rows of one run through an MoE layer, and the sum of the experts' outputs. */
interface RoutedRun {
  readonly read: Float32Array;
  readonly shares: Float32Array;
  readonly sum: Float32Array;
  /** Index of the state that each row belongs to. */
  readonly stateOf: (row: number) => number;
}

/** Row of a run routed to an expert, and the index of its weight in the run. */
interface RoutedRow {
  readonly run: RoutedRun;
  readonly row: number;
  readonly place: number;
}

/** Returns the index of the state that a row of an expert's output belongs to. */
export type StateOfRow = (row: number) => number;

/** Maximum number of rows per expert run; more don't make matmuls faster. */
const rowsAtOnce = 512;

/** Rows of several runs through an MoE layer, by the experts that read them. */
export class RoutedRows {
  private readonly runs: RoutedRun[] = [];
  private readonly byExpert = new Map<number, RoutedRow[]>();
  private width = 1;

  /**
   * Adds the outputs of the routing of one run.
   * @param first index of the first state in it
   * @param count number of states, all of one length
   */
  public addRun(outputs: Tensors, first: number, count: number): void {
    const rows = outputs[routedNames.rows] ?? throwMissingInput(routedNames.rows);
    const shares = outputs[routedNames.shares] ?? throwMissingInput(routedNames.shares);
    const chosen = outputs[routedNames.chosen] ?? throwMissingInput(routedNames.chosen);
    const read = floatsIn(rows);
    this.width = rows.dims.at(-1) ?? 1;
    const perState = read.length / this.width / count;
    const run = {
      ...{ read, shares: floatsIn(shares), sum: new Float32Array(read.length) },
      stateOf: (row: number) => first + Math.floor(row / perState),
    };
    this.runs.push(run);
    const perToken = chosen.dims.at(-1) ?? 1;
    (chosen.data as BigInt64Array).forEach((number, place) => {
      const expert = Number(number);
      const own = this.byExpert.get(expert) ?? [];
      own.push({ run, row: Math.floor(place / perToken), place });
      this.byExpert.set(expert, own);
    });
  }

  /** Experts that rows were sent to, ascending. */
  public get experts(): readonly number[] {
    return [...this.byExpert.keys()].sort((a, b) => a - b);
  }

  /** Runs `compute` on the rows of an expert, and adds its weighted outputs to the sums. */
  public async runExpert(
    expert: number,
    compute: (feeds: Tensors, stateOf: StateOfRow) => Promise<Tensor>,
  ): Promise<void> {
    const all = this.byExpert.get(expert) ?? [];
    for (let start = 0; start < all.length; start += rowsAtOnce) {
      const rows = all.slice(start, start + rowsAtOnce);
      this.add(rows, floatsIn(await compute(this.feeds(rows), (i) => this.stateOf(rows[i]))));
    }
  }

  /** Weighted sums of the expert outputs of each run: [rows, width]. */
  public get sums(): readonly Tensor[] {
    const { width } = this;
    return this.runs.map(({ sum }) => floatTensor(sum, [sum.length / width, width]));
  }

  private stateOf(given: RoutedRow | undefined): number {
    return given?.run.stateOf(given.row) ?? 0;
  }

  private feeds(rows: readonly RoutedRow[]): Tensors {
    const { width } = this;
    const own = new Float32Array(rows.length * width);
    rows.forEach(({ run, row }, i) => {
      own.set(run.read.subarray(row * width, (row + 1) * width), i * width);
    });
    const shares = Float32Array.from(rows, ({ run, place }) => run.shares[place] ?? 0);
    return {
      [routedNames.rows]: floatTensor(own, [rows.length, width]),
      [routedNames.shares]: floatTensor(shares, [rows.length, 1]),
    };
  }

  private add(rows: readonly RoutedRow[], outputs: Float32Array): void {
    const { width } = this;
    rows.forEach(({ run: { sum }, row }, i) => {
      const [first, own] = [row * width, i * width];
      for (let at = 0; at < width; at++) {
        sum[first + at] = (sum[first + at] ?? 0) + (outputs[own + at] ?? 0);
      }
    });
  }
}
