import { checkpoint } from '../jobs/job';
import * as v from 'valibot';
import type { JobContext } from '../jobs/job';
import { unsavedPart } from '../jobs/saved-parts';
import type { SavedPart } from '../jobs/saved-parts';
import { predictedIds } from '../models/example';
import type { LayeredModel } from '../models/layered-model';
import type { ModelInput } from '../models/model-input';
import type { LayeredExecutor } from './layered-executor';
import { stateBytesPerToken } from './memory-shares';
import { explainNonFinite } from './non-finite';
import type { HiddenState } from './tensors';
import { sumOverTokens } from './token-sums';
import type { TokenTerm } from './token-sums';
import type { Message } from '../message';

/** Tokens sent through a sublayer at once: enough to keep all cores busy, few enough to stop soon. */
const tokensPerBatch = 2048;
/** Number of hidden states per window in memory at the same time: input, output, and both joined. */
const statesPerWindow = 4;

/** Token ids, or a recording with its transcript, and the targets. */
export interface TextWindow {
  readonly input: ModelInput;
  /** Id that follows each position, −1 to skip it; may be shorter than the input. */
  readonly targets: Int32Array;
}

/** Options for reading windows. */
export interface WindowReading<Found> {
  /** Units that the model lacks, see RemovableUnits. */
  readonly removed?: ReadonlySet<number>;
  /** Stage shown to the user. */
  readonly stage: Message;
  /** Results of the first windows; receives the others as they are computed. */
  readonly saved?: SavedPart<Found>;
}

/** Sums over the tokens of each window. */
export interface WindowWork extends WindowReading<WindowSums> {
  readonly terms: readonly TokenTerm[];
}

/** The sum of each term. */
export type WindowSums = readonly number[];

/** Sums of a window, as they are saved in a journal. */
export const windowSumsSchema = v.pipe(v.array(v.number()), v.readonly());

type Watcher = Pick<JobContext, 'cancellation' | 'progress'>;

/** Non-overlapping windows of `length` ids, and a last one with the rest if it has at least two. */
export function divideIds(ids: Int32Array, length: number): Int32Array[] {
  return Array.from({ length: Math.ceil(ids.length / length) }, (_, i) =>
    ids.slice(i * length, (i + 1) * length),
  ).filter((window) => window.length > 1);
}

/** All that a model predicts of a sequence: every token but the first, or the target. */
export function wholeWindow(model: LayeredModel, input: ModelInput): TextWindow {
  return { input, targets: predictedIds(model, input) };
}

/** Positions of an input, including those of a spectrogram. */
export const countPositions = (input: ModelInput): number =>
  input instanceof Int32Array
    ? input.length
    : Math.max(0, ...Object.values(input).map(({ dims }) => dims.at(-1) ?? 0));

/**
 * Sums of terms over the predicted tokens of each window, in the windows' order, some windows of one
 * length at a time.
 * @throws UserError naming the weights at fault where a sum is not finite.
 */
export async function windowSums(
  executor: LayeredExecutor,
  windows: readonly TextWindow[],
  { terms, ...work }: WindowWork,
  watcher: Watcher,
): Promise<WindowSums[]> {
  return readWindows(executor, windows, work, watcher, async ({ input, targets }, state) => {
    const sums = await sumOverTokens(executor, targets, state, terms);
    if (!sums.every(Number.isFinite)) {
      throw await explainNonFinite(executor, input, work.removed ?? new Set());
    }
    return sums;
  });
}

/**
 * Result for the final hidden state of each window, in the windows' order. Windows of the same
 * length are processed together.
 */
export async function readWindows<Found>(
  executor: LayeredExecutor,
  windows: readonly TextWindow[],
  { removed = new Set(), stage, saved = unsavedPart() }: WindowReading<Found>,
  { cancellation, progress }: Watcher,
  read: (window: TextWindow, state: HiddenState, index: number) => Promise<Found>,
): Promise<Found[]> {
  const all = [...saved.values];
  // As large as they would be without an earlier run: which windows run together moves the last digits.
  const size = windowsPerBatch(executor, longestWindow(windows));
  for (const batch of batchEqual(windows.slice(all.length), size)) {
    const report = (share: number): void => {
      progress({
        stage,
        done: all.length + Math.floor(share * batch.length),
        total: windows.length,
        unit: 'sequences',
      });
    };
    const inputs = batch.map(({ input }) => input);
    const states = await finalStates(executor, inputs, removed, { cancellation, report });
    const found: Found[] = [];
    try {
      for (const [i, state] of states.entries()) {
        await checkpoint(cancellation);
        const window = batch[i] ?? wholeWindow(executor.model, new Int32Array());
        found.push(await read(window, state, all.length + i));
      }
    } finally {
      executor.states.release(...states);
    }
    report(1);
    all.push(...found);
    await saved.add(found);
  }
  return all;
}

/** Number of windows whose states fit in memory and that run quickly enough to be cancelled soon. */
export function windowsPerBatch(executor: LayeredExecutor, length: number): number {
  const bytesPerWindow = length * stateBytesPerToken(executor.model) * statesPerWindow;
  const fitting = Math.min(tokensPerBatch / length, executor.shares.stateBytes / bytesPerWindow);
  return Math.max(1, Math.floor(fitting));
}

/** Positions of the longest window. */
export const longestWindow = (windows: readonly TextWindow[]): number =>
  windows.reduce((most, { input }) => Math.max(most, countPositions(input)), 1);

/** Groups of at most `size` windows of one length. */
export function batchEqual(windows: readonly TextWindow[], size: number): TextWindow[][] {
  const batches: TextWindow[][] = [];
  for (const window of windows) {
    const last = batches.at(-1);
    if (
      last === undefined ||
      last.length === size ||
      last[0] === undefined ||
      countPositions(last[0].input) !== countPositions(window.input)
    ) {
      batches.push([window]);
    } else {
      last.push(window);
    }
  }
  return batches;
}

/** Final states; the caller holds references. */
export async function finalStates(
  executor: LayeredExecutor,
  batch: readonly ModelInput[],
  removed: ReadonlySet<number>,
  { cancellation, report }: Pick<Watcher, 'cancellation'> & { report: (share: number) => void },
): Promise<HiddenState[]> {
  const sublayers = executor.model.summary.sublayers.length;
  let states: HiddenState[] = [];
  try {
    for (const window of batch) {
      states.push(await executor.states.toDevice(await executor.embed(window)));
    }
    for (let index = 0; index < sublayers; index++) {
      await checkpoint(cancellation);
      report(index / sublayers);
      const before = states;
      states = await executor.pass(index, before, removed);
      executor.states.release(...before);
    }
    return states;
  } catch (error) {
    executor.states.release(...states);
    throw error;
  }
}
