import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { DeviceName } from '../device';
import { SessionPool } from '../session-pool';
import { int64Tensor, isOnDevice, shapedAs, outputTensor } from '../tensors';
import type { Tensors } from '../tensors';

/**
 * Providers whose outputs can stay on the device: the Node binding of ONNX Runtime 1.30 only supports WebGPU buffers.
 */
export const keepsOutputs = (device: DeviceName): boolean => device === 'webgpu';

/** Most states that one copy joins or divides: each number of them has a session of its own, which is kept. */
export const mostCopied = 32;
/** Maximum number of rows queued on a device before waiting; far below the limit of its watchdog. */
const mostRowsInFlight = 8192;

/** Buffer on the device with its reference count. */
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
 * Float32 tensors that stay on a device between sessions. Reading a released buffer, or releasing one after its session
 * ended, crashes the process. Buffers are therefore reference-counted, and values that outlive a run are copied by
 * sessions that end after all buffers.
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

  /** Number of buffers in use. */
  public get count(): number {
    return this.references.size;
  }

  /** Takes ownership of outputs on the device; the caller holds a reference. */
  public adopt(outputs: InferenceSession.OnnxValueMapType): InferenceSession.OnnxValueMapType {
    for (const tensor of Object.values(outputs)) {
      if (tensor instanceof Tensor && isOnDevice(tensor)) {
        this.references.set(tensor.gpuBuffer, { tensor, holders: 1 });
      }
    }
    return outputs;
  }

  /** Adds a reference to a buffer. */
  public hold(tensor: Tensor): Tensor {
    if (isOnDevice(tensor)) {
      this.entry(tensor).holders += 1;
    }
    return tensor;
  }

  /** Drops a reference to a buffer; the last one releases it. */
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

  /** Counts rows queued on the device, and waits if there are many. */
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

  /**
   * Joins tensors of one shape along axis 0; optionally only rows `start` to `end` of axis 1. The caller holds a
   * reference.
   */
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

  /** `count` copies along axis 0, each in its own buffer that the caller holds. */
  public async divide(tensor: Tensor, count: number): Promise<Tensor[]> {
    const names = Array.from({ length: count }, (_, i) => `y${i}`);
    const outputs = await this.copy(
      {
        key: `divide.${count}`,
        stays: true,
        build: (graph) => {
          const all = graph.input('x', DataType.FLOAT, [count, 'size']);
          const start = graph.input('start', DataType.INT64, [1]);
          // The first bound is an input, because a full copy would be optimized away.
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

  /** Copies the values to main memory. */
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

  /** Side values on the device, uploaded once; those that are not float32 stay in main memory. */
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

  /** Uploads a tensor; the caller holds a reference. Returns it unchanged if it is empty or not float32. */
  public async send(tensor: Tensor): Promise<Tensor> {
    if (isOnDevice(tensor) || tensor.type !== 'float32' || tensor.size === 0) {
      return this.hold(tensor);
    }
    const [sent = tensor] = await this.divide(tensor, 1);
    return sent;
  }

  /** Releases all buffers. Must run before the sessions that created them end. */
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
    // If the device is lost, pending calls fail with their own error; the other buffers are still released.
  }
}
