import { rm } from 'node:fs/promises';
import type * as v from 'valibot';
import { floatsInFile } from '../../checkpoints/read-tensor';
import { openSafetensors } from '../../checkpoints/safetensors';
import { CancelledError, checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { SavedPart, SavedParts } from '../../jobs/saved-parts';
import { storeTensors } from '../../models/encodings/store-encodings';
import type { ModelInput } from '../../models/model-input';
import type { Message } from '../../message';
import type { AfterRun, LayeredExecutor } from '../layered-executor';
import { floatsIn, floatTensor } from '../tensors';
import type { HiddenState, Tensor } from '../tensors';

/** Saved progress of a walk. */
export interface SavedWalk<Found> {
  /** Results, sublayer by sublayer. */
  readonly found: SavedPart<Found>;
  /** Safetensors file with the states after the last of them; undefined if nothing is saved. */
  readonly states: string | undefined;
}

/** States after a sublayer, and the result found there. */
export interface WalkedStep<Found> {
  readonly states: readonly HiddenState[];
  readonly found: Found;
}

/** Saves a walk among the parts of a job. */
export const savedWalk = <Found>(
  saved: SavedParts,
  schema: v.GenericSchema<unknown, Found>,
): SavedWalk<Found> => ({
  found: saved.part('sublayers', schema),
  states: saved.beside(statesEnding),
});

/** Suffix of files with states. */
export const statesEnding = 'states.safetensors';

/** One pass over all sublayers with a callback for each. */
export interface Walk<Found> {
  readonly stage: Message;
  /**
   * Runs states through sublayer `index` and returns the measurement.
   * @param afterRun awaited after each run of ONNX Runtime; also reports progress
   */
  readonly step: (
    index: number,
    states: readonly HiddenState[],
    afterRun: AfterRun,
  ) => Promise<WalkedStep<Found>>;
  readonly saved: SavedWalk<Found>;
}

/** Interval of saving states in case the process is killed. Saving those of a large model takes a second. */
const savingMilliseconds = 15_000;

/** Takes inputs through a model, sublayer by sublayer; resumes a walk that was stopped. */
export async function walk<Found>(
  executor: LayeredExecutor,
  inputs: readonly ModelInput[],
  { stage, step, saved }: Walk<Found>,
  { cancellation, progress }: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<Found[]> {
  const { sublayers } = executor.model.summary;
  const ends = sublayers.reduce((sums, { bytes }) => [...sums, (sums.at(-1) ?? 0) + bytes], [0]);
  const total = ends.at(-1) ?? 0;
  const report = (done: number): void => {
    progress({ stage, done, total, unit: 'bytes' });
  };
  const pause = async (): Promise<void> => checkpoint(cancellation);
  const first: HiddenState[] = [];
  for (const input of inputs) {
    first.push(await executor.embed(input));
    await pause();
  }
  const reached = await readStates(saved, first);
  let { states } = reached;
  const all = saved.found.values.slice(0, reached.index);
  let kept = saved.found.values.length;
  let savedAt = performance.now();
  const save = async (): Promise<void> => {
    // A full disk is no reason to end the job; without its states nothing else is kept either.
    const isWritten = await writeStates(saved.states, all.length, executor, states).catch(
      () => false,
    );
    if (isWritten) {
      await saved.found.add(all.slice(kept));
      kept = Math.max(kept, all.length);
    }
    savedAt = performance.now();
  };
  for (const [index, { bytes }] of sublayers.entries()) {
    if (index < reached.index) {
      continue;
    }
    const before = ends[index] ?? 0;
    report(before);
    const afterRun: AfterRun = async (share = 0) => {
      report(Math.round(before + share * bytes));
      await pause();
    };
    try {
      const one = await step(index, states, afterRun);
      ({ states } = one);
      all.push(one.found);
    } catch (error) {
      if (error instanceof CancelledError && all.length > reached.index) {
        await save();
      }
      throw error;
    }
    if (performance.now() - savedAt > savingMilliseconds) {
      await save();
    }
  }
  return all;
}

/** States after the sublayers with saved results, or the initial states. */
async function readStates<Found>(
  { found, states: file }: SavedWalk<Found>,
  first: readonly HiddenState[],
): Promise<{ readonly index: number; readonly states: readonly HiddenState[] }> {
  const fromStart = { index: 0, states: first };
  if (file === undefined) {
    return fromStart;
  }
  if (found.values.length === 0) {
    // Belongs to another job, whose journal has been replaced.
    await rm(file, { force: true });
    return fromStart;
  }
  const tensors = await openSafetensors(file).then(
    (stored) => stored.tensors,
    () => undefined,
  );
  const [name = ''] = tensors?.keys() ?? [];
  const index = Number.parseInt(name, 10);
  if (tensors === undefined || !(index <= found.values.length)) {
    return fromStart;
  }
  const states: HiddenState[] = [];
  for (const [i, { side }] of first.entries()) {
    const values: Record<string, Tensor> = {};
    const own = tensorName(index, i, '');
    for (const tensor of [...tensors.values()].filter((one) => one.name.startsWith(own))) {
      const numbers = await floatsInFile(tensor);
      if (numbers === undefined) {
        return fromStart;
      }
      values[tensor.name.slice(own.length)] = floatTensor(numbers, tensor.shape);
    }
    states.push({ values, side });
  }
  return { index, states };
}

/** @returns false if nothing was written, because states of some graphs are not float32 */
async function writeStates(
  file: string | undefined,
  index: number,
  executor: LayeredExecutor,
  states: readonly HiddenState[],
): Promise<boolean> {
  if (file === undefined) {
    return false;
  }
  const tensors: Parameters<typeof storeTensors>[1][number][] = [];
  for (const [i, state] of states.entries()) {
    const { values } = await executor.states.toHost(state);
    for (const [value, tensor] of Object.entries(values)) {
      if (tensor.type !== 'float32') {
        return false;
      }
      const { buffer, byteOffset, byteLength } = floatsIn(tensor);
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      const data = { dtype: 'F32', shape: tensor.dims, bytes } as const;
      tensors.push({ name: tensorName(index, i, value), data });
    }
  }
  await storeTensors(file, tensors);
  return true;
}

const tensorName = (index: number, state: number, value: string): string =>
  `${index}.${state}.${value}`;
