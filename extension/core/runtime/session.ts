import { availableParallelism, loadavg } from 'node:os';
import { parse, relative, sep } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import type { Tensor } from 'onnxruntime-node';
import type { WeightBytes } from '../onnx/append-initializers';
import type { ComputedWeight, SessionGraph } from '../onnx/graph-builder';
import type { RunnableGraph } from '../models/layered-model';
import { UserError } from '../user-error';
import { fillFloats } from '../checkpoints/float-rows';
import type { DeviceName } from './device';
import { deviceWatchdog } from './limits/device-watchdog';
import { raiseHeapLimit } from './limits/heap-slack';
import { integerSumsAreWhole } from './limits/integer-sums';
import { withOwnZeroPoints } from './limits/own-zero-points';
import { weightTensor } from './tensors';
import { say } from '../message';

/** Options for creating a session. */
export interface SessionOptions {
  readonly device: DeviceName;
  /**
   * Repack weights for speed when the session is made. Costs a private copy of the weights and the
   * time to make it, so it pays only for sessions that are kept.
   */
  readonly prepack: boolean;
  /**
   * Threads spin while waiting for the next run. Faster if one session runs all the time; slower if several take turns
   * or other programs use the cores, see {@link maySpin}.
   */
  readonly spin?: boolean;
  /**
   * Keeps memory between runs. Without page faults, a training step of a small convolutional network takes a third less
   * time. The session keeps the memory of its largest run.
   */
  readonly keepMemory?: boolean;
  /**
   * Run the graph as it stands: operators are not joined, which rounds otherwise, nor weights repacked, on which products
   * of few bits round their inputs.
   */
  readonly asItStands?: boolean;
  /**
   * Do not join reshapes that follow each other, on which ONNX Runtime 1.30 fails in some backward passes
   * of graphs of other tools.
   */
  readonly keepReshapes?: boolean;
  /**
   * Keeps weights as stored and widens them in each run. Widening half precision once takes twice its bytes of private
   * memory.
   */
  readonly asStored?: boolean;
  /** Keeps outputs in device memory for other sessions. */
  readonly stays?: boolean | undefined;
  /** Threads that share the work of one operator; one for each core if absent. */
  readonly threads?: number | undefined;
}

/**
 * Creates a session whose stored weights ONNX Runtime maps from the model's own files: locations are given
 * relative to the root of the file system, as absolute ones are refused. Weights that have to be dequantized are computed
 * here. On the CPU they are inputs of the session, which reads them where they are; repacked ones and those on a device are
 * initializers, which ONNX Runtime copies.
 */
export async function createSession(
  graph: RunnableGraph,
  options: SessionOptions,
): Promise<InferenceSession> {
  raiseHeapLimit();
  const prepack = options.prepack && options.asItStands !== true;
  const { externalData, toBytes, computed }: SessionGraph = graph.forSession?.() ?? {
    externalData: graph.externalData,
    toBytes: (locate) => graph.toBytes(locate),
    computed: [],
  };
  const computedBytes = computed.reduce((sum, { bytes }) => sum + bytes, 0);
  const copies = options.device !== 'cpu' || (prepack && computedBytes <= mostCopiedBytes);
  const roots = new Set(externalData.map((data) => parse(data.file).root));
  const [root = parse(process.cwd()).root, ...others] = roots;
  if (others.length > 0) {
    throw new UserError(
      'weights-on-several-drives',
      say`The weights are on several drives, but must be on one.`,
      {
        remedy: say`Move all files to one drive: ${[...roots].join(', ')}.`,
      },
    );
  }
  const arena = await computeWeights(computed);
  const create = async (): Promise<InferenceSession> => {
    const stored = toBytes(
      (data) => ({
        location: relative(root, data.file).split(sep).join('/'),
        offset: data.offset,
      }),
      copies ? arena.weights : undefined,
    );
    const asksForWholeSums = !(await integerSumsAreWhole());
    const model = asksForWholeSums ? withOwnZeroPoints(stored) : stored;
    const left = [
      ...(options.keepReshapes === true ? ['ReshapeFusion'] : []),
      ...(options.asStored === true ? ['ConstantFolding'] : []),
    ];
    return InferenceSession.create(model, {
      executionProviders: executionProviders(options.device),
      graphOptimizationLevel: optimizationLevel(options),
      logSeverityLevel: 3,
      ...(options.stays === true ? { preferredOutputLocation: 'gpu-buffer' } : {}),
      enableCpuMemArena: options.keepMemory === true,
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      extra: {
        session: {
          model_external_initializers_file_folder_path: root,
          disable_prepacking: prepack ? '0' : '1',
          ...(asksForWholeSums ? { x64quantprecision: '1' } : {}),
          'intra_op.allow_spinning': '1',
          ...(options.spin === true ? {} : { 'intra_op.spin_duration_us': betweenOperators }),
        },
        ...(left.length > 0
          ? { optimization: { disable_specified_optimizers: left.join(';') } }
          : {}),
      },
    });
  };
  try {
    const session = await watchedOn(options.device, create);
    return copies ? session : withInputs(session, arena);
  } catch (error) {
    arena.release();
    throw error;
  } finally {
    if (copies) {
      // ONNX Runtime has its own copy.
      const keep = computedBytes <= mostReusedBytes ? arena.release : arena.drop;
      keep();
    }
  }
}

/**
 * Opens the graph in a file on the CPU without optimizations. Weights are mapped from their file and decoded by nodes
 * one after the other in each run, so the memory overhead is about one float32 copy of the largest weight.
 */
export async function openAsItStands(file: string): Promise<InferenceSession> {
  return InferenceSession.create(file, {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 3,
    enableCpuMemArena: false,
    enableMemPattern: false,
    extra: { session: { disable_prepacking: '1', 'intra_op.allow_spinning': '0' } },
  });
}

/**
 * Microseconds that threads wait busily for the next operator of a run, by default. Every session has threads of its own, so they
 * must stop before the next session runs. Without waiting, waking them takes longer than a small operator: an MLP of
 * 576 × 1536 on two cores took 2.1 ms instead of 1.5 ms.
 */
const betweenOperators = '50';

/**
 * Larger weights are not repacked on the CPU: for a moment that takes three times their bytes, and at 256 rows it saves 7 % of
 * the time.
 */
const mostCopiedBytes = 64 << 20;

/** Memory of larger weights is not kept for the next session once they are copied. */
const mostReusedBytes = 16 << 20;

/** Computed weights of a session, one after another in one arena. */
interface ComputedWeights {
  readonly weights: readonly (WeightBytes & { readonly tensor: () => Tensor })[];
  /** Returns the memory for reuse by the next session. */
  readonly release: () => void;
  readonly drop: () => void;
}

/** Weights begin at multiples of this many bytes, as vector instructions like it. */
const alignment = 64;

async function computeWeights(computed: readonly ComputedWeight[]): Promise<ComputedWeights> {
  if (computed.length === 0) {
    return { weights: [], release: () => undefined, drop: () => undefined };
  }
  const padded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;
  const arena = weightArenas.take(computed.reduce((sum, { bytes }) => sum + padded(bytes), 0));
  try {
    const weights = [];
    let start = 0;
    for (const { name, dataType, shape, bytes: size, source } of computed) {
      const bytes = new Uint8Array(arena.buffer, start, size);
      await (typeof source === 'function' ? source(bytes) : fillFloats(source, bytes));
      weights.push({
        ...{ name, dataType, shape, bytes },
        tensor: () => weightTensor(dataType, shape, bytes),
      });
      start += padded(size);
    }
    return { weights, release: arena.release, drop: arena.drop };
  } catch (error) {
    arena.release();
    throw error;
  }
}

/** A session that feeds its computed weights to each run, and gives their memory back when it is released. */
function withInputs(
  session: InferenceSession,
  { weights, release: giveBack }: ComputedWeights,
): InferenceSession {
  if (weights.length === 0) {
    return session;
  }
  const feeds = Object.fromEntries(weights.map(({ name, tensor }) => [name, tensor()]));
  const inputNames = session.inputNames.filter((name) => !Object.hasOwn(feeds, name));
  const inputMetadata = session.inputMetadata.filter(({ name }) => !Object.hasOwn(feeds, name));
  const run = session.run.bind(session) as (
    given: InferenceSession.FeedsType,
    ...rest: unknown[]
  ) => ReturnType<typeof session.run>;
  const release = session.release.bind(session);
  Object.defineProperties(session, {
    inputNames: { value: inputNames },
    inputMetadata: { value: inputMetadata },
    run: {
      value: async (given: InferenceSession.FeedsType, ...rest: unknown[]) =>
        run({ ...given, ...feeds }, ...rest),
    },
    release: {
      value: async () => {
        await release();
        giveBack();
      },
    },
  });
  return session;
}

/**
 * The highest optimization level folds constants even if that optimizer is disabled, which would
 * expand weights that must stay in their stored type.
 */
const optimizationLevel = ({
  asItStands,
  asStored,
}: SessionOptions): 'disabled' | 'extended' | 'all' =>
  asItStands === true ? 'disabled' : asStored === true ? 'extended' : 'all';

/** Runs `make`, which opens sessions, and releases them if it fails, often for lack of memory. */
export async function withSessions<Made>(
  make: (create: typeof createSession) => Promise<Made>,
): Promise<Made> {
  const sessions: InferenceSession[] = [];
  try {
    return await make(async (graph, options) => {
      const session = await createSession(graph, options);
      sessions.push(session);
      return session;
    });
  } catch (error) {
    await Promise.all(sessions.map(async (session) => session.release()));
    throw error;
  }
}

/** Execution providers for a device, with the CPU as fallback. */
const executionProviders = (device: DeviceName): InferenceSession.ExecutionProviderConfig[] =>
  device === 'cpu' ? ['cpu'] : [{ name: device }, { name: 'cpu' }];

/** Creates a session on a device. If the device hangs, the process is killed. */
async function watchedOn(
  device: DeviceName,
  create: () => Promise<InferenceSession>,
): Promise<InferenceSession> {
  if (device === 'cpu') {
    return create();
  }
  const session = await deviceWatchdog.call(create);
  const run = session.run.bind(session) as (...args: unknown[]) => ReturnType<typeof session.run>;
  session.run = async (...args: unknown[]): ReturnType<typeof session.run> =>
    deviceWatchdog.call(async () => run(...args));
  return session;
}

/**
 * True if threads may spin. They shouldn't if clearly more threads want to run than there are
 * cores.
 */
export function maySpin(): boolean {
  const [tasks = 0] = loadavg();
  return tasks <= 1.5 * availableParallelism();
}

/** Memory of computed weights, reused from session to session. */
interface WeightArena {
  readonly buffer: ArrayBuffer;
  /** Keeps the memory for the next session. */
  readonly release: () => void;
  /** Returns the memory to the system. */
  readonly drop: () => void;
}

/** Arenas that stay allocated for the next sessions: streamed models alternate between two kinds of sublayers. */
const mostFree = 2;

/** Allocates arenas; those that are released are reused if the next session needs about as much. */
class WeightArenas {
  /** The one released last is the first. */
  private free: ArrayBuffer[] = [];

  public take(bytes: number): WeightArena {
    const fits = this.free
      .filter(({ byteLength }) => byteLength >= bytes && byteLength <= 2 * bytes)
      .sort((a, b) => a.byteLength - b.byteLength);
    const [known] = fits;
    // Before one is allocated, the oldest that is free is dropped: it may be of a model that doesn't run now.
    this.free =
      known === undefined
        ? this.free.slice(0, mostFree - 1)
        : this.free.filter((one) => one !== known);
    const buffer = known ?? new ArrayBuffer(bytes);
    let isHeld = true;
    return {
      buffer,
      release: () => {
        if (isHeld) {
          this.free = [buffer, ...this.free].slice(0, mostFree);
        }
        isHeld = false;
      },
      drop: () => {
        isHeld = false;
      },
    };
  }

  /** Returns all free memory to the system. */
  public clear(): void {
    this.free = [];
  }
}

/** Arenas of all sessions of this process. */
export const weightArenas = new WeightArenas();
