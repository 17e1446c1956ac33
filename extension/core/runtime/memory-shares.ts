import type { GraphPart, LayeredModel, RunnableSublayer } from '../models/layered-model';
import { streamWidth } from '../models/model-emitter';
import { UserError } from '../user-error';
import type { DeviceName } from './device';
import { availableProcessMemory, roomUnderLimit } from './limits/process-memory';
import { say } from '../message';

/** Private memory in bytes, by purpose. */
export interface MemoryShares {
  /** Sessions of sublayers. */
  readonly sublayerBytes: number;
  /** The head's weights once more, repacked. */
  readonly headBytes: number;
  /** Hidden states. */
  readonly stateBytes: number;
  /** Logits and values computed from them. */
  readonly readoutBytes: number;
  /** Bytes of the original's logits that are kept. */
  readonly originalBytes: number;
}

/** Memory budget that several users share. */
export class MemoryBudget {
  public constructor(private free: number) {}

  /**
   * Reserves bytes if that many are free; returns false otherwise.
   * @param left bytes that must stay free
   */
  public take(bytes: number, left = 0): boolean {
    const fits = bytes + left <= this.free;
    this.free -= fits ? bytes : 0;
    return fits;
  }

  public giveBack(bytes: number): void {
    this.free += bytes;
  }
}

/** Minimum number of tokens whose states fit. */
const leastTokens = 1024;
/** Assumed if a graph doesn't specify it. */
const defaultHiddenSize = 4096;
/** Memory of a session without its weights: graph, kernels and threads. */
const bytesPerSession = 1 << 19;
/** Rows of logits that fit at least, in all arrays of a metric. */
const leastRows = 40;
/**
 * Shares of the memory beyond the minimum. Hidden states get the rest, minus the memory that the system releases late.
 */
const sublayerShare = 0.4;
const headShare = 0.2;
const readoutShare = 0.125;
const originalShare = 0.125;
const lateShare = 0.125;
/** Reserve for memory that Node and ONNX Runtime use and release late; grows with the setting. */
const [leastLateBytes, mostLateBytes, lateOfSetting] = [32 << 20, 128 << 20, 1 / 16];

const nothing: MemoryShares = {
  sublayerBytes: 0,
  headBytes: 0,
  stateBytes: 0,
  readoutBytes: 0,
  originalBytes: 0,
};

/** Bytes of a token's stream. */
export function stateBytesPerToken({
  emitter,
  summary: { hiddenSize = defaultHiddenSize },
}: Pick<LayeredModel, 'emitter' | 'summary'>): number {
  const width = emitter === undefined ? hiddenSize : streamWidth(emitter);
  return width * Float32Array.BYTES_PER_ELEMENT;
}

/** Private bytes of weights at run time; 0 if they are mapped from their file unchanged. */
export function privateBytes(
  { bytes, mappedBytes = 0 }: Pick<GraphPart, 'bytes' | 'mappedBytes'>,
  device: DeviceName,
): number {
  return device === 'cpu' ? bytes - mappedBytes : bytes;
}

/** Private bytes of a sublayer whose sessions are opened for each pass; for an MoE layer, of one expert at a time. */
export function streamedBytes(
  { part, routed }: Pick<RunnableSublayer, 'part' | 'routed'>,
  device: DeviceName,
): number {
  const parts =
    routed === undefined
      ? [part]
      : [routed.route.part, ...routed.experts.map((expert) => expert.part), routed.join.part];
  return Math.max(...parts.map((one) => privateBytes(one, device)));
}

/**
 * Divides a memory setting. Even less than {@link leastMemory} is divided.
 * @param hasEnds whether embedding and head are in it; another executor may run them
 */
export function divideMemory(
  model: LayeredModel,
  memoryBytes: number,
  device: DeviceName,
  hasEnds = true,
): MemoryShares {
  const rest = memoryBytes - leastMemory(model, device, hasEnds);
  const [least, free] =
    rest < 0
      ? [nothing, memoryBytes]
      : [leastShares(model, device), Math.max(0, rest - lateBytes(memoryBytes))];
  const room = least.sublayerBytes + free * sublayerShare;
  const wanted = sublayerParts(model).reduce((sum, { bytes }) => sum + bytes, 0);
  const sublayerBytes = Math.min(room, wanted);
  const { mappedBytes = 0 } = hasEnds ? model.epilogue : {};
  const headBytes = mappedBytes <= free * headShare ? mappedBytes : 0;
  const stateShare = 1 - sublayerShare - headShare - readoutShare - originalShare - lateShare;
  return {
    sublayerBytes,
    headBytes,
    readoutBytes: least.readoutBytes + free * readoutShare,
    originalBytes: free * originalShare,
    stateBytes:
      least.stateBytes + free * (stateShare + headShare) - headBytes + (room - sublayerBytes),
  };
}

const lateBytes = (memoryBytes: number): number =>
  Math.min(mostLateBytes, Math.max(leastLateBytes, memoryBytes * lateOfSetting));

/** The least memory that a model runs in: two sublayers, the head and some states. */
export function leastMemory(model: LayeredModel, device: DeviceName, hasEnds = true): number {
  const { sublayerBytes, stateBytes, readoutBytes } = leastShares(model, device);
  const ends = hasEnds ? [model.prologue.part, model.epilogue] : [];
  const endBytes = ends.reduce((sum, part) => sum + privateBytes(part, device), 0);
  const sessions = model.summary.sublayers.length * bytesPerSession;
  return endBytes + sessions + sublayerBytes + stateBytes + readoutBytes;
}

/** @throws UserError saying how much is needed, or why the model cannot run at all. */
export function requireMemory(model: LayeredModel, memoryBytes: number, device: DeviceName): void {
  model.requireRunnable();
  const least = leastMemory(model, device);
  if (memoryBytes < least) {
    const needed = mebibytes(least);
    throw new UserError(
      'memory-too-small',
      say`${model.summary.name} needs ${needed} of memory: two sublayers, the head and hidden states must fit.`,
      {
        file: model.summary.path,
        field: 'memory',
        remedy:
          least > roomUnderLimit()
            ? say`The system limits this process's memory, as a container does: raise that limit.`
            : least > availableProcessMemory()
              ? say`Only ${mebibytes(availableProcessMemory())} are available: close other programs.`
              : say`Set the memory to at least ${needed}.`,
      },
    );
  }
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)}MiB`;

function leastShares(model: LayeredModel, device: DeviceName): MemoryShares {
  const largest = model.summary.sublayers.map((_, index) =>
    streamedBytes(model.sublayer(index), device),
  );
  const width = model.emitter?.vocabularySize ?? 0;
  return {
    sublayerBytes: 2 * Math.max(0, ...largest),
    headBytes: 0,
    stateBytes: leastTokens * stateBytesPerToken(model),
    readoutBytes: leastRows * width * Float32Array.BYTES_PER_ELEMENT,
    originalBytes: 0,
  };
}

function sublayerParts(model: LayeredModel): GraphPart[] {
  return model.summary.sublayers.map((_, index) => model.sublayer(index).part);
}
