import type { Tensor } from '../../runtime/tensors';
import { floatsIn } from '../../runtime/tensors';
import { UserError } from '../../user-error';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import { say } from '../../message';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import type { InputWeights } from '../randomized-svd';

/** Rows per matmul; smaller chunks are collected first. */
const rowsPerProduct = 1024;

/** Rows of a linear layer's inputs, and what they differ in from those of the original model. */
interface InputRows {
  readonly rows: Float32Array;
  /** Inputs of the original model minus these. */
  readonly changes?: Float32Array;
  /** Residual stream that the layer's outputs are added to: that of the original model minus this one. */
  readonly streamChanges?: Float32Array;
}

/** Accumulates the inputs of one or more linear layers that share them. */
class SharedInputs {
  private count = 0;
  private waiting: InputRows[] = [];
  private waitingRows = 0;
  private readonly gram: Float64Array;
  private readonly magnitudes: Float64Array;
  private shift: { inputs: Float32Array; stream?: Float32Array } | undefined;

  public constructor(
    private readonly products: MatrixProducts,
    private readonly name: string,
    private readonly size: number,
  ) {
    this.gram = new Float64Array(size * size);
    this.magnitudes = new Float64Array(size);
  }

  public async add(more: InputRows): Promise<void> {
    this.waiting.push(more);
    this.waitingRows += more.rows.length / this.size;
    if (this.waitingRows >= rowsPerProduct) {
      await this.multiply();
    }
  }

  public async finish(): Promise<InputStatistics> {
    await this.multiply();
    const { count, size, gram, shift } = this;
    return {
      count,
      gram: { size, numbers: gram },
      meanMagnitudes: this.magnitudes.map((sum) => sum / Math.max(1, count)),
      ...(shift === undefined ? {} : { shift }),
    };
  }

  private async multiply(): Promise<void> {
    const { waiting, waitingRows: count } = this;
    if (count === 0) {
      return;
    }
    this.waiting = [];
    this.waitingRows = 0;
    const rows = joinRows(
      waiting.map((one) => one.rows),
      count,
    );
    this.addMagnitudes(rows);
    addTo(this.gram, await this.products.crossProducts(rows));
    const changes = waiting.flatMap((one) => one.changes ?? []);
    if (changes.length > 0) {
      const inputs = await this.products.float32CrossBetween(rows, joinRows(changes, count));
      this.shift ??= { inputs: new Float32Array(inputs.length) };
      addTo(this.shift.inputs, inputs);
      const streamChanges = waiting.flatMap((one) => one.streamChanges ?? []);
      if (streamChanges.length > 0) {
        const stream = await this.products.float32CrossBetween(
          rows,
          joinRows(streamChanges, count),
        );
        this.shift.stream ??= new Float32Array(stream.length);
        addTo(this.shift.stream, stream);
      }
    }
    this.count += count;
  }

  private addMagnitudes({ length, numbers }: Rows): void {
    for (let start = 0; start < numbers.length; start += length) {
      for (let i = 0; i < length; i++) {
        this.magnitudes[i] = (this.magnitudes[i] ?? 0) + Math.abs(numbers[start + i] ?? 0);
      }
    }
    if (!this.magnitudes.every(Number.isFinite)) {
      throw new UserError(
        'inputs-not-finite',
        say`Its calibration inputs contain NaN or infinity.`,
        {
          field: this.name,
          remedy: say`Calibrate on the CPU, use another text, or choose a variant without calibration.`,
        },
      );
    }
  }
}

function joinRows(parts: readonly Float32Array[], count: number): Rows {
  const numbers = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    numbers.set(part, at);
    at += part.length;
  }
  return { count, length: numbers.length / count, numbers };
}

/** a − b, element by element. Faster than map(). */
export function subtract(a: Float32Array, b: Float32Array): Float32Array {
  const differences = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) {
    differences[i] = (a[i] ?? 0) - (b[i] ?? 0);
  }
  return differences;
}

function addTo<Numbers extends Float32Array | Float64Array>(sums: Numbers, more: Numbers): void {
  for (let i = 0; i < more.length; i++) {
    sums[i] = (sums[i] ?? 0) + (more[i] ?? 0);
  }
}

/** Accumulates the inputs of linear layers from the taps of each run. */
export class StatisticsAccumulator {
  private readonly inputs = new Map<string, SharedInputs>();

  public constructor(private readonly products: MatrixProducts) {}

  /**
   * Adds the inputs [rows, in] of layers by id; every run must have the same layers. Layers with the same tensor in the
   * first run share their statistics.
   * @throws UserError that names the layer whose inputs aren't finite
   */
  public async add(taps: ReadonlyMap<string, Tensor>): Promise<void> {
    const seen = new Map<Tensor, SharedInputs>();
    for (const [id, tensor] of taps) {
      const known = seen.get(tensor);
      const shared =
        this.inputs.get(id) ??
        known ??
        new SharedInputs(this.products, id, tensor.dims.at(-1) ?? 1);
      this.inputs.set(id, shared);
      if (known === undefined) {
        seen.set(tensor, shared);
        await shared.add({ rows: floatsIn(tensor) });
      }
    }
  }

  /**
   * Adds the inputs of layers for one state.
   * @param original inputs of the original model for the same example, of the same sizes
   * @param streamChanges residual stream of the original model minus that of the state, [rows, out], by the ids of the
   *   layers whose outputs are added to it
   */
  public async addPair(
    own: ReadonlyMap<string, Rows>,
    original: ReadonlyMap<string, Rows>,
    streamChanges: ReadonlyMap<string, Float32Array>,
  ): Promise<void> {
    const seen = new Map<Rows, SharedInputs>();
    for (const [id, rows] of own) {
      const known = seen.get(rows);
      const { length, numbers } = rows;
      const shared = this.inputs.get(id) ?? known ?? new SharedInputs(this.products, id, length);
      this.inputs.set(id, shared);
      if (known === undefined) {
        seen.set(rows, shared);
        const from = original.get(id)?.numbers ?? numbers;
        const ofStream = streamChanges.get(id);
        await shared.add({
          rows: numbers,
          changes: subtract(from, numbers),
          ...(ofStream === undefined ? {} : { streamChanges: ofStream }),
        });
      }
    }
  }

  /** Statistics by layer id. */
  public async finish(): Promise<Map<string, InputStatistics>> {
    const finished = new Map<SharedInputs, InputStatistics>();
    for (const shared of new Set(this.inputs.values())) {
      finished.set(shared, await shared.finish());
    }
    return new Map(
      [...this.inputs].flatMap(([id, shared]) => {
        const statistics = finished.get(shared);
        return statistics === undefined ? [] : [[id, statistics] as const];
      }),
    );
  }
}

/** Statistics of the inputs x of a linear layer on the calibration text. */
export interface InputStatistics {
  /** Number of rows x. */
  readonly count: number;
  /** Σ xᵀ·x, [in, in]. */
  readonly gram: SquareMatrix;
  /** Mean of |x| per input. */
  readonly meanMagnitudes: Float64Array;
  /** Undefined if the original model was not run too. */
  readonly shift?: InputShift;
}

/** Differences between the inputs x of a linear layer and those of the original model, x₀, summed over the rows. */
export interface InputShift {
  /** Σ xᵀ·(x₀ − x), [in, in]. */
  readonly inputs: Float32Array;
  /** Σ xᵀ·(h₀ − h), [in, out], with the residual streams that the outputs are added to; undefined if they aren't. */
  readonly stream?: Float32Array;
}

/** Exponent of mean |x| by which inputs are scaled (ASVD, arXiv 2312.05821, § 3.2). */
const scaleExponent = 0.5;
/** Minimum scale of an input, as a share of the mean, which keeps inputs that are always 0 on the calibration text. */
const leastScale = 1e-3;
/** Share of the inputs' mean variance that is added to each; decides directions without data. */
const dampingShare = 1e-5;

/** mean |x|^α per input, normalized to mean 1; ones if all inputs were zero. */
export function inputScales({
  meanMagnitudes,
}: Pick<InputStatistics, 'meanMagnitudes'>): Float64Array {
  const scales = meanMagnitudes.map((magnitude) => magnitude ** scaleExponent);
  const mean = scales.reduce((sum, scale) => sum + scale, 0) / scales.length;
  return mean > 0 ? scales.map((scale) => Math.max(leastScale, scale / mean)) : scales.map(() => 1);
}

/** Weights that minimize the error of W·diag(s), with s the {@link inputScales}. */
export function scaledWeights(statistics: Pick<InputStatistics, 'meanMagnitudes'>): InputWeights {
  return { gram: inputScales(statistics).map((scale) => scale ** 2), damping: 0 };
}

/** Weights that minimize the error of the outputs on the calibration text. */
export function covarianceWeights({ gram }: Pick<InputStatistics, 'gram'>): InputWeights {
  const { size, numbers } = gram;
  let trace = 0;
  for (let i = 0; i < size; i++) {
    trace += numbers[i * size + i] ?? 0;
  }
  return { gram, damping: trace > 0 ? (dampingShare * trace) / size : 1 };
}
