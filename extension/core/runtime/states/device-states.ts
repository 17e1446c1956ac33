import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { DeviceName } from '../device';
import { SessionPool } from '../session-pool';
import { int64Tensor, isOnDevice, shapedAs, outputTensor } from '../tensors';
import type { Tensors } from '../tensors';

/** Providers whose outputs can stay: the Node binding of ONNX Runtime 1.30 knows buffers of WebGPU alone. */
export const keepsOutputs = (device: DeviceName): boolean => device === 'webgpu';

/** Most states that one copy joins or divides: each number of them has a session of its own, which is kept. */
export const mostCopied = 32;
/** Most rows that a device is given before it is waited for: far less work than its watchdog allows. */
const mostRowsInFlight = 8192;

/** A buffer on the device, and how many hold it. */
interface Held {
  readonly tensor: Tensor;
  holders: number;
}

/** Input of a graph and the use of its output. */
interface Copy {
  readonly key: string;
  readonly stays: boolean;
  readonly build: (graph: GraphBuilder) => void;
}

/**
 * Float32 tensors that stay on a device between sessions. To read a buffer that was given back, and to give one
 * back after the session that made it has ended, both end the process. So buffers are counted here, and what
 * outlives a run is copied by sessions that end after all buffers.
 */
export class DeviceStates {
  private readonly references = new Map<unknown, Held>();
  private readonly pool: SessionPool;
  private readonly sides = new Map<Tensors, Tensors>();
  private rowsInFlight = 0;

  public constructor(device: DeviceName) {
    // Copies are made on the device: threads have nothing to do.
    const budget = { bytes: Number.POSITIVE_INFINITY, repackedBytes: 0 };
    this.pool = new SessionPool({ device, threads: 1 }, budget);
  }

  /** Buffers that someone holds. */
  public get count(): number {
    return this.references.size;
  }

  /** Takes charge of outputs that stay; the caller holds them. */
  public adopt(outputs: InferenceSession.OnnxValueMapType): InferenceSession.OnnxValueMapType {
    for (const tensor of Object.values(outputs)) {
      if (tensor instanceof Tensor && isOnDevice(tensor)) {
        this.references.set(tensor.gpuBuffer, { tensor, holders: 1 });
      }
    }
    return outputs;
  }

  /** Holds a buffer once more. */
  public hold(tensor: Tensor): Tensor {
    if (isOnDevice(tensor)) {
      this.entry(tensor).holders += 1;
    }
    return tensor;
  }

  /** Lets go of a buffer, which is given back by the last who holds it. */
  public release(tensor: Tensor): void {
    if (!isOnDevice(tensor)) {
      return;
    }
    const entry = this.entry(tensor);
    entry.holders -= 1;
    if (entry.holders === 0) {
      this.references.delete(tensor.gpuBuffer);
      giveBack(entry);
    }
  }

  /** Counts rows that the device was given, and waits once they are many. */
  public async pace(outputs: readonly Tensor[]): Promise<void> {
    this.rowsInFlight += outputs.reduce(
      (sum, { dims }) => sum + (dims[0] ?? 1) * (dims[1] ?? 1),
      0,
    );
    if (this.rowsInFlight > mostRowsInFlight) {
      await this.settle(outputs);
    }
  }

  /**
   * Waits until the device has finished all queued work. A run whose outputs stay on the device
   * doesn't wait, and reading one value waits for everything queued before it.
   */
  public async settle([output]: readonly Tensor[]): Promise<void> {
    if (output !== undefined) {
      await this.read(shapedAs(output, [1]));
    }
  }

  /** Tensors of one shape joined along axis 0; rows `start` to `end` of axis 1 where they are named. Held by the caller. */
  public async join(
    tensors: readonly Tensor[],
    rows?: { readonly start: number; readonly end: number },
  ): Promise<Tensor> {
    const [first] = tensors;
    if (first === undefined) {
      throw new Error('nothing to join');
    }
    if (tensors.length === 1 && rows === undefined) {
      return this.hold(first);
    }
    const [batch = 1, length = 1, ...rest] = first.dims;
    const cut = rows !== undefined;
    const inputs = tensors.map((_, i) => `x${i}`);
    const batchRows = cut ? batch : 1;
    const inner = cut ? length : 1;
    const shape = [batchRows, inner, first.size / Math.max(1, batchRows * inner)];
    const joined = await this.copy(
      {
        key: `join.${tensors.length}.${cut}`,
        stays: true,
        build: (graph) => {
          const values = inputs.map((name) =>
            graph.input(name, DataType.FLOAT, ['outer', 'inner', 'size']),
          );
          const [only = ''] = values;
          const all = values.length === 1 ? only : graph.op('Concat', values, { axis: 0 });
          const wanted = cut
            ? graph.op('Slice', [
                all,
                graph.input('start', DataType.INT64, [1]),
                graph.input('end', DataType.INT64, [1]),
                graph.ints([1]),
              ])
            : all;
          graph.output('y', wanted, DataType.FLOAT);
        },
      },
      {
        ...Object.fromEntries(
          tensors.map((tensor, i) => [inputs[i] ?? '', shapedAs(tensor, shape)]),
        ),
        ...(cut
          ? { start: int64Tensor([rows.start], [1]), end: int64Tensor([rows.end], [1]) }
          : {}),
      },
    );
    const taken = cut ? rows.end - rows.start : length;
    return shapedAs(outputTensor(joined, 'y'), [batch * tensors.length, taken, ...rest]);
  }

  /** `count` copies along axis 0, each with a buffer of its own that the caller holds. */
  public async divide(tensor: Tensor, count: number): Promise<Tensor[]> {
    const names = Array.from({ length: count }, (_, i) => `y${i}`);
    const outputs = await this.copy(
      {
        key: `divide.${count}`,
        stays: true,
        build: (graph) => {
          const all = graph.input('x', DataType.FLOAT, [count, 'size']);
          const start = graph.input('start', DataType.INT64, [1]);
          // The first bound is an input, so that a copy of all is not left out as doing nothing.
          names.forEach((name, i) => {
            const from = i === 0 ? start : graph.ints([i]);
            const one = graph.op('Slice', [all, from, graph.ints([i + 1]), graph.ints([0])]);
            graph.output(name, one, DataType.FLOAT);
          });
        },
      },
      { x: shapedAs(tensor, [count, tensor.size / count]), start: int64Tensor([0], [1]) },
    );
    const [batch = count, ...rest] = tensor.dims;
    return names.map((name) => shapedAs(outputTensor(outputs, name), [batch / count, ...rest]));
  }

  /** The numbers, in main memory. */
  public async read(tensor: Tensor): Promise<Tensor> {
    if (!isOnDevice(tensor)) {
      return tensor;
    }
    const outputs = await this.copy(
      {
        key: 'read',
        stays: false,
        build: (graph) => {
          const x = graph.input('x', DataType.FLOAT, ['size']);
          graph.output('y', graph.op('Identity', [x]), DataType.FLOAT, ['size']);
        },
      },
      { x: shapedAs(tensor, [tensor.size]) },
    );
    this.rowsInFlight = 0;
    return new Tensor('float32', outputTensor(outputs, 'y').data as Float32Array, tensor.dims);
  }

  /** Side values on the device, sent once; those that are not float32 stay where they are. */
  public async sideOf(side: Tensors): Promise<Tensors> {
    let sent = this.sides.get(side);
    if (sent === undefined) {
      const values = Object.entries(side).map(
        async ([name, tensor]) => [name, await this.send(tensor)] as const,
      );
      sent = Object.fromEntries(await Promise.all(values));
      this.sides.set(side, sent);
    }
    return sent;
  }

  /** A tensor of main memory on the device, held by the caller; as it is where it is empty or not float32. */
  public async send(tensor: Tensor): Promise<Tensor> {
    if (isOnDevice(tensor) || tensor.type !== 'float32' || tensor.size === 0) {
      return this.hold(tensor);
    }
    const [sent = tensor] = await this.divide(tensor, 1);
    return sent;
  }

  /** Gives all buffers back. Comes before the sessions that made them end. */
  public async dispose(): Promise<void> {
    const all = [...this.references.values()];
    this.references.clear();
    this.sides.clear();
    all.forEach(giveBack);
    await this.pool.dispose();
  }

  private async copy(
    { key, stays, build }: Copy,
    feeds: Tensors,
  ): Promise<InferenceSession.OnnxValueMapType> {
    const recipe = {
      ...{ key, bytes: 0, stays },
      build: () => {
        const graph = new GraphBuilder(key);
        build(graph);
        return graph;
      },
    };
    const outputs = await this.pool.use(recipe, async (session) => session.run(feeds));
    return this.adopt(outputs);
  }

  private entry(tensor: Tensor): Held {
    const entry = this.references.get(tensor.gpuBuffer);
    if (entry === undefined) {
      throw new Error('the buffer was given back to the device');
    }
    return entry;
  }
}

function giveBack({ tensor }: Held): void {
  try {
    tensor.dispose();
  } catch {
    // The device is lost: what it was asked for fails and says why, and the other buffers are given back still.
  }
}
