import type { InferenceSession } from 'onnxruntime-node';
import type { Step } from '../../models/layered-model';
import { throwMissingInput, valuesAfter } from '../step-values';
import { copyTensor, divide, floatsIn, floatTensor, isOnDevice, join, sliceRows } from '../tensors';
import type { HiddenState, Tensor, Tensors } from '../tensors';
import { mostCopied } from './device-states';
import type { DeviceStates } from './device-states';
import { routedNames } from '../../models/model-emitter';

/** Rows `start` to `end` of axis 1. */
export interface RowRange {
  readonly start: number;
  readonly end: number;
}

/** Buffers of joined tensors that are kept: sublayers alternate with the head. */
const mostFree = 2;
/** Maximum size of a reused buffer relative to the tensor. */
const mostSpare = 4;

/**
 * Hidden states in main memory or on a device. A state stays there when it passes through a
 * sublayer. Whoever receives a state on a device owns it and must release it; in main memory, both
 * are no-ops.
 */
export class States {
  /** Buffers in main memory of tensors that are not joined any more, for the next ones. */
  private free: Float32Array[] = [];
  private readonly joined = new WeakMap<Tensor, Float32Array>();

  /** @param device absent if states are always in main memory */
  public constructor(private readonly device: DeviceStates | undefined) {}

  /** True if outputs of sessions stay on the device. */
  public get stay(): boolean {
    return this.device !== undefined;
  }

  /** Maximum number of states that can be joined. */
  public get mostJoined(): number {
    return this.stay ? mostCopied : Number.POSITIVE_INFINITY;
  }

  /** Number of device buffers in use. */
  public get buffers(): number {
    return this.device?.count ?? 0;
  }

  public hold(state: HiddenState): HiddenState {
    Object.values(state.values).forEach((tensor) => this.device?.hold(tensor));
    return state;
  }

  public release(...states: readonly HiddenState[]): void {
    this.letGo(...states.flatMap(({ values }) => Object.values(values)));
  }

  /** Like {@link States.release}, for single tensors. Joined ones must not be used any more. */
  public letGo(...tensors: readonly Tensor[]): void {
    for (const tensor of tensors) {
      const buffer = this.joined.get(tensor);
      if (buffer !== undefined) {
        this.joined.delete(tensor);
        this.free = [buffer, ...this.free].slice(0, mostFree);
      }
      this.device?.release(tensor);
    }
  }

  /** Takes ownership of outputs on the device; the caller holds a reference. */
  public adopt(outputs: InferenceSession.OnnxValueMapType): InferenceSession.OnnxValueMapType {
    return this.device?.adopt(outputs) ?? outputs;
  }

  /** Uploads a state; the caller holds a reference. Unchanged if states don't stay on the device. */
  public async toDevice(state: HiddenState): Promise<HiddenState> {
    const { device } = this;
    return device === undefined ? state : mapped(state, async (tensor) => device.send(tensor));
  }

  /** The state in main memory. */
  public async toHost(state: HiddenState): Promise<HiddenState> {
    const { device } = this;
    return device === undefined ? state : mapped(state, async (tensor) => device.read(tensor));
  }

  /** A copy of the state in main memory. */
  public async copyToHost(state: HiddenState): Promise<HiddenState> {
    const { device } = this;
    return mapped(state, async (tensor) =>
      device !== undefined && isOnDevice(tensor) ? device.read(tensor) : copyTensor(tensor),
    );
  }

  /** A copy of a float32 tensor in the same memory; on a device, the caller must release it. */
  public async copied(tensor: Tensor): Promise<Tensor> {
    if (this.device === undefined || !isOnDevice(tensor)) {
      return floatTensor(floatsIn(tensor).slice(), tensor.dims);
    }
    const [copy = tensor] = await this.device.divide(tensor, 1);
    return copy;
  }

  /** Side values, in the memory of the states. */
  public async sideValues({ values, side }: HiddenState): Promise<Tensors> {
    return this.device !== undefined && areOnDevice(values) ? this.device.sideOf(side) : side;
  }

  /** A value of some states joined along axis 0, or rows of it; on a device held by the caller. */
  public async join(
    states: readonly HiddenState[],
    name: string,
    rows?: RowRange,
  ): Promise<Tensor> {
    const tensors = states.map(({ values }) => values[name] ?? throwMissingInput(name));
    const { device } = this;
    if (device === undefined || !tensors.some(isOnDevice)) {
      return this.joinOnHost(
        rows === undefined
          ? tensors
          : states.map(({ values }) => sliceRows(values, name, rows.start, rows.end)),
      );
    }
    const sent: Tensor[] = [];
    try {
      for (const tensor of tensors) {
        sent.push(await device.send(tensor));
      }
      return await device.join(sent, rows);
    } finally {
      this.letGo(...sent);
    }
  }

  /** The states after a step, from the output of its part for all of them. */
  public async behind(
    step: Step,
    outputs: Tensors,
    before: readonly HiddenState[],
  ): Promise<HiddenState[]> {
    const parts: (readonly [string, readonly Tensor[]])[] = [];
    try {
      for (const [name, tensor] of Object.entries(outputs)) {
        parts.push([name, await this.divide(tensor, before)]);
      }
      return before.map(({ values, side }, i) => {
        const own = Object.fromEntries(
          parts.map(([name, tensors]) => [name, tensors[i] ?? throwMissingInput(name)]),
        );
        return this.hold({ values: valuesAfter(step, own, values, side), side });
      });
    } finally {
      this.letGo(...parts.flatMap(([, tensors]) => tensors));
    }
  }

  /** Waits for the device if much work is queued, so that cancelling takes effect soon. */
  public async pace(states: readonly HiddenState[]): Promise<void> {
    await this.device?.pace(deviceTensors(states));
  }

  /** Waits until the device has done all that these states need. */
  public async settle(states: readonly HiddenState[]): Promise<void> {
    await this.device?.settle(deviceTensors(states));
  }

  /** Before the sessions that made the buffers end. */
  public async dispose(): Promise<void> {
    await this.device?.dispose();
  }

  /** Joins tensors in a buffer that is reused once the result is let go. */
  private joinOnHost(tensors: readonly Tensor[]): Tensor {
    let buffer: Float32Array | undefined;
    const joined = join(tensors, (size) => {
      buffer = this.takeBuffer(size);
      return buffer.subarray(0, size);
    });
    if (buffer !== undefined) {
      this.joined.set(joined, buffer);
    }
    return joined;
  }

  private takeBuffer(size: number): Float32Array {
    const known = this.free.find(({ length }) => length >= size && length <= mostSpare * size);
    this.free = this.free.filter((one) => one !== known);
    return known ?? new Float32Array(size);
  }

  private async divide(tensor: Tensor, before: readonly HiddenState[]): Promise<readonly Tensor[]> {
    if (this.device === undefined || !isOnDevice(tensor)) {
      return divide(tensor, before.length);
    }
    return before.some(({ values }) => areOnDevice(values))
      ? this.device.divide(tensor, before.length)
      : divide(await this.device.read(tensor), before.length);
  }
}

/** True if any of the values is on a device. */
export const areOnDevice = (values: Tensors): boolean => Object.values(values).some(isOnDevice);

const deviceTensors = (states: readonly HiddenState[]): Tensor[] =>
  states.flatMap(({ values }) => Object.values(values)).filter(isOnDevice);

async function mapped(
  { values, side }: HiddenState,
  move: (tensor: Tensor) => Promise<Tensor>,
): Promise<HiddenState> {
  const moved: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(values)) {
    moved[name] = await move(tensor);
  }
  return { values: moved, side };
}

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
