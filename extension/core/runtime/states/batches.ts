import type { DeviceName } from '../device';
import type { MemoryShares } from '../memory-shares';
import type { HiddenState } from '../tensors';
import { mostCopied } from './device-states';
import { areOnDevice } from './states';

/** Most states, rows and numbers of hidden states in one run. */
interface RunSize {
  readonly states: number;
  readonly rows: number;
  readonly elements: number;
}

/** On a CPU, more states per run don't make matmuls faster. */
const onCpu: RunSize = { states: Number.POSITIVE_INFINITY, rows: 256, elements: 1 << 18 };
/** A device waits for each run to be started. */
const deviceRows = 2048;
/** Share of the state memory for one run on a device, because activations within a sublayer take many times as much. */
const runShare = 1 / 32;

/** Share of the state memory for one pass of a search; the rest stores trajectories. */
export const activeShare = 0.25;

/** The same if sessions are opened for each pass: fewer passes save more than stored states. */
export const streamedActiveShare = 0.5;

/** Number of items of this size that fit in a share of the memory for states; at least 1. */
export function countFitting({ stateBytes }: MemoryShares, share: number, bytes: number): number {
  return Math.max(1, Math.floor((stateBytes * share) / Math.max(1, bytes)));
}

/** Groups of states that can go through in one run. */
export function splitIntoBatches(
  states: readonly HiddenState[],
  device: DeviceName,
  shares: MemoryShares,
  joinsExamples: boolean,
): HiddenState[][] {
  const size = device === 'cpu' ? onCpu : sizeOnDevice(shares);
  const batches: HiddenState[][] = [];
  for (const state of states) {
    const last = batches.at(-1);
    const first = last?.[0];
    if (
      joinsExamples &&
      last !== undefined &&
      last.length < statesPerRun(state, size) &&
      first?.side === state.side &&
      areOnDevice(first.values) === areOnDevice(state.values)
    ) {
      last.push(state);
    } else {
      batches.push([state]);
    }
  }
  return batches;
}

function sizeOnDevice({ stateBytes }: MemoryShares): RunSize {
  const elements = (stateBytes * runShare) / Float32Array.BYTES_PER_ELEMENT;
  return { states: mostCopied, rows: deviceRows, elements: Math.max(onCpu.elements, elements) };
}

/** Number of states of this size that are processed in one run. */
function statesPerRun({ values }: HiddenState, most: RunSize): number {
  const fitting = Object.values(values).map(({ size, dims }) =>
    Math.min(most.elements / Math.max(1, size), most.rows / Math.max(1, dims[1] ?? 1)),
  );
  return Math.max(1, Math.floor(Math.min(most.states, ...fitting)));
}
