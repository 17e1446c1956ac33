import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import type { LayeredExecutor } from './layered-executor';
import { explainNonFinite } from './non-finite';
import type { HiddenState } from './tensors';
import { sumOverTokens } from './token-sums';
import type { TokenTerm } from './token-sums';

/** Tokens sent through a sublayer at once: enough to keep all cores busy, few enough to stop soon. */
const tokensPerBatch = 2048;
/** Hidden states of each window that live at once: what goes in, what comes out, and both joined. */
const statesPerWindow = 4;
/** Where a graph does not tell. */
const usualHiddenSize = 4096;

/** What is summed over the tokens of each window. */
export interface WindowWork {
  readonly term: TokenTerm;
  /** Indexes of sublayers to skip. */
  readonly removed?: ReadonlySet<number>;
  /** What the user is told meanwhile. */
  readonly stage: string;
  /** Told the sums of some windows as soon as they are known. */
  readonly onSums?: (sums: readonly number[]) => Promise<void>;
}

type Watcher = Pick<JobContext, 'cancellation' | 'progress'>;

/** Windows of `length` ids that do not overlap, and a last one of what remains, if that is two at least. */
export function divideIds(ids: Int32Array, length: number): Int32Array[] {
  return Array.from({ length: Math.ceil(ids.length / length) }, (_, i) =>
    ids.slice(i * length, (i + 1) * length),
  ).filter((window) => window.length > 1);
}

/**
 * Sums of a term over the predicted tokens of each window, in the windows' order, some windows at
 * a time.
 * @throws UserError naming the weights at fault where a sum is not finite.
 */
export async function windowSums(
  executor: LayeredExecutor,
  windows: readonly Int32Array[],
  { term, removed = new Set(), stage, onSums }: WindowWork,
  { cancellation, progress }: Watcher,
): Promise<number[]> {
  const all: number[] = [];
  for (const batch of batchEqual(windows, windowsPerBatch(executor, windows))) {
    const report = (share: number): void => {
      progress({
        stage,
        done: all.length + Math.floor(share * batch.length),
        total: windows.length,
        unit: 'sequences',
      });
    };
    const states = await finalStates(executor, batch, removed, { cancellation, report });
    const sums: number[] = [];
    for (const [i, window] of batch.entries()) {
      await checkpoint(cancellation);
      const state = states[i];
      const sum = state ? await sumOverTokens(executor, window, state, term) : Number.NaN;
      if (!Number.isFinite(sum)) {
        throw await explainNonFinite(executor, window, removed);
      }
      sums.push(sum);
    }
    report(1);
    all.push(...sums);
    await onSums?.(sums);
  }
  return all;
}

function windowsPerBatch(executor: LayeredExecutor, [first]: readonly Int32Array[]): number {
  const length = Math.max(1, first?.length ?? 1);
  const { hiddenSize = usualHiddenSize } = executor.model.summary;
  const bytesPerWindow = length * hiddenSize * Float32Array.BYTES_PER_ELEMENT * statesPerWindow;
  const fitting = Math.min(tokensPerBatch / length, executor.stateBytes / bytesPerWindow);
  return Math.max(1, Math.floor(fitting));
}

/** Groups of at most `size` windows of one length. */
function batchEqual(windows: readonly Int32Array[], size: number): Int32Array[][] {
  const batches: Int32Array[][] = [];
  for (const window of windows) {
    const last = batches.at(-1);
    if (last === undefined || last.length === size || last[0]?.length !== window.length) {
      batches.push([window]);
    } else {
      last.push(window);
    }
  }
  return batches;
}

async function finalStates(
  executor: LayeredExecutor,
  batch: readonly Int32Array[],
  removed: ReadonlySet<number>,
  { cancellation, report }: Pick<Watcher, 'cancellation'> & { report: (share: number) => void },
): Promise<HiddenState[]> {
  const sublayers = executor.model.summary.sublayers.length;
  let states: HiddenState[] = [];
  for (const window of batch) {
    states.push(await executor.embed(window));
  }
  for (let index = 0; index < sublayers; index++) {
    await checkpoint(cancellation);
    report(index / sublayers);
    states = removed.has(index)
      ? await executor.skip(index, states)
      : await executor.run(index, states);
  }
  return states;
}
