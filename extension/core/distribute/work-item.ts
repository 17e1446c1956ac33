import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { TaskJob } from '../jobs/child-task';
import type { Message } from '../message';
import type { DeviceName } from '../runtime/device';
import { onnxRuntimeVersion } from '../runtime/device';
import { printable } from '../printable';
import type { ModelInput, Example } from '../models/model-input';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { floatsIn } from '../runtime/tensors';
import { AnsweredIds } from '../models/model-input';

/** File that work items read. Other machines find it by its fingerprint; its path is local. */
export interface WorkFile {
  readonly fingerprint: string;
  readonly path: string;
}

/** Data shared by all work items of a job: plain data and typed arrays. */
export interface WorkSetup {
  /** Kind of work, which selects the runner. */
  readonly kind: string;
  /** Unique key of this setup. */
  readonly key: string;
  /** Models and datasets that work items read, by purpose. */
  readonly files: Readonly<Record<string, WorkFile>>;
  readonly data: unknown;
  /** Folder for unfinished work, which the job removes. Local, and shared by all workers on this machine. */
  readonly scratch?: string;
}

/** Independent part of a job. Its result doesn't depend on the worker. */
export interface WorkItem<Result = unknown> {
  /** Unique key among work items of all jobs. */
  readonly key: string;
  /** Items of one lane are best run by one worker, which caches state for the next item. */
  readonly lane: number;
  /** Cost in any unit shared by all items of the job. */
  readonly cost: number;
  /** Plain data. */
  readonly request: unknown;
  /** Schema of the result. */
  readonly result: v.GenericSchema<unknown, Result>;
  /** True if the item must run in this process. */
  readonly home?: boolean;
}

/** Runs work items of one job, one at a time. */
export interface JobWorker {
  /** Name of a process, or of a worker on another machine. */
  readonly name: Message;
  /**
   * Runs a work item.
   * @returns result that matches the item's schema
   * @throws WorkerLostError if the worker was lost before the item was done; otherwise the error of the item
   */
  do(piece: WorkItem, job: TaskJob): Promise<unknown>;
}

/** Pool of workers that may join and leave at any time. */
export interface WorkerPool {
  join(worker: JobWorker): void;
  retire(worker: JobWorker): void;
  /** @param why reason for users, if the worker was lost */
  leave(worker: JobWorker, why: string): void;
}

/** Callbacks for finding workers. */
export interface WorkerSearch {
  /** Outputs of the model on its inputs, as this process computes them. */
  readonly probe: () => Promise<readonly number[]>;
  readonly warn: (message: Message) => void;
  readonly inform: (message: Message) => void;
}

/** Provider of workers. */
export interface Engine {
  /** Threads per worker for one operator; by default one per core. */
  readonly threads?: number | undefined;
  /** Maximum number of workers including this process; absent if unknown. */
  readonly size?: number | undefined;
  /** Share of the memory setting for each worker. */
  readonly memoryShare: number;
  /** Maximum size of a result's arrays in bytes; unlimited by default. */
  readonly mostResultBytes?: number | undefined;
  /**
   * Finds workers for one job and adds them to the pool.
   * @returns function that releases the workers
   */
  addWorkers(setup: WorkSetup, pool: WorkerPool, means: WorkerSearch): Promise<() => Promise<void>>;
}

/** Request for the model's outputs instead of a work item, to compare workers. */
export const probeRequest = 'probe';
/** Outputs of the probe that a worker runs before it joins. */
export const probeSchema = v.array(v.number());

/** Key of a setup. Includes the device and the version of ONNX Runtime, since results depend on both. */
export const hashSetup = (job: string, device: DeviceName): string =>
  createHash('sha256')
    .update(JSON.stringify([job, device, onnxRuntimeVersion()]))
    .digest('hex');

/** Key of a work item: hash of its setup and request. */
export function workItemKey(setup: Pick<WorkSetup, 'key'>, request: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([setup.key, request]))
    .digest('hex');
}

/**
 * Validates data from another process with a schema.
 * @param what name of the data for messages
 * @throws Error naming the invalid field
 */
export function readMessage<T>(
  schema: v.GenericSchema<unknown, T>,
  value: unknown,
  what: string,
): T {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) {
    return parsed.output;
  }
  const [issue] = parsed.issues;
  const field = v.getDotPath(issue);
  throw new Error(
    printable(`${what} cannot be read: ${field === null ? '' : `${field}: `}${issue.message}.`),
  );
}

/** Tokens of a text that are run. */
const mostTokens = 16;
/** Number of compared values. */
const mostNumbers = 512;

/**
 * Values of a model's final state for the start of an input, which differ between processors with different kernels.
 */
export async function kernelProbe(
  executor: LayeredExecutor,
  input: ModelInput = new Int32Array(1),
): Promise<readonly number[]> {
  let state = await executor.embed(
    input instanceof Int32Array ? Int32Array.from(input).slice(0, mostTokens) : input,
  );
  for (const index of executor.model.summary.sublayers.keys()) {
    [state = state] = await executor.run(index, [state]);
  }
  const numbers = Object.values(state.values).flatMap((tensor) =>
    tensor.type.startsWith('float') ? [...floatsIn(tensor)] : [],
  );
  const step = Math.max(1, Math.ceil(numbers.length / mostNumbers));
  return numbers.filter((_, i) => i % step === 0);
}

const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const exampleSchema = v.record(
  v.string(),
  v.object({
    dtype: v.string(),
    dims: v.array(size),
    data: v.custom<Example[string]['data']>(
      (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
    ),
  }),
);

/** Schema of {@link AnsweredIds}, since class instances lose their class between processes. */
const answeredSchema = v.pipe(
  v.strictObject({ answered: v.instance(Int32Array), from: size }),
  v.transform(({ answered, from }) => new AnsweredIds(answered, from)),
);

/** Schema of model inputs in work items. They contain no file paths. */
export const modelInputSchema: v.GenericSchema<unknown, ModelInput> = v.union([
  v.instance(Int32Array),
  answeredSchema,
  exampleSchema,
]);

/** Converts an input for transfer to another process, where {@link modelInputSchema} restores it. */
export const portableInput = (input: ModelInput): v.InferInput<typeof modelInputSchema> =>
  input instanceof AnsweredIds
    ? { answered: Int32Array.from(input), from: input.answerFrom }
    : input;
