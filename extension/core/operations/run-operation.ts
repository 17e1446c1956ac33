import { existsSync } from 'node:fs';
import { CancelledError } from '../jobs/job';
import { lockOutput } from '../jobs/output-lock';
import { removeLeftovers } from '../jobs/partial';
import { asRunError } from '../jobs/run-errors';
import { resolveDevice } from '../runtime/devices';
import { locksFolder } from '../jobs/user-cache';
import type { DeviceChoice } from '../runtime/device';
import { estimateSeconds } from '../runtime/speed/model-speed';
import { rememberedSeconds, rememberSeconds } from '../runtime/speed/work-rates';
import type { RatedWork } from '../runtime/speed/work-rates';
import type { AnyOperation, Environment, OperationContext } from './operation';
import type { RequestOf, Fields } from './fields';
import { outputFile, requireFolderName, requireOutputFile } from './output-file';
import { runOptions } from './shared-fields';
import type { Work } from './work';
import { say } from '../message';
import { fileStamp } from '../checkpoints/model-folder';
import { UserError } from '../user-error';

/** Common fields of requests that run a model or write a result. */
interface RunRequest {
  readonly device?: DeviceChoice;
  readonly memory?: string;
  readonly out?: string;
}

/**
 * Runs an operation. Reports its expected time first, if it is known from an earlier run or a short one, and stores
 * its actual time.
 */
export async function runOperation(
  operation: AnyOperation,
  request: RequestOf<Fields>,
  context: OperationContext,
): Promise<unknown> {
  const { out } = request as RunRequest;
  if (out !== undefined && operation.fields['out']?.writes === undefined) {
    requireFolderName(out);
  }
  const release = await (out === undefined ? undefined : lockOutput(out, locksFolder()));
  try {
    if (out !== undefined) {
      // Before the run, because a run that fails because the model exists would leave them.
      await removeLeftovers(out);
    }
    for (const [field, { writes }] of Object.entries(operation.fields)) {
      const file = (request as Readonly<Record<string, unknown>>)[field];
      if (writes !== undefined && typeof file === 'string') {
        await requireOutputFile(file, outputFile(writes, { ...request, out: file }), field);
      }
    }
    return await runLocked(operation, request, context);
  } catch (error) {
    throw asRunError(error);
  } finally {
    await release?.();
  }
}

async function runLocked(
  operation: AnyOperation,
  request: RequestOf<Fields>,
  context: OperationContext,
): Promise<unknown> {
  const { environment } = context;
  const work = await remainingWork(operation, request, environment);
  const seconds = work && (await expectedSeconds(operation, request, work, context));
  if (seconds !== undefined) {
    context.progress({
      stage: say`Starting`,
      done: 0,
      total: 1,
      unit: 'steps',
      secondsLeft: seconds,
    });
  }
  const started = performance.now();
  const result = await watchingModels(context, async (watched) => operation.run(request, watched));
  if (work !== undefined) {
    const rated = ratedWork(operation, request, work);
    const took = (performance.now() - started) / 1000;
    // Failing to store the time must not fail the operation.
    await rememberSeconds(environment.costsFolder, rated, took).catch(() => undefined);
  }
  return result;
}

/** Expected seconds of an operation, from earlier runs on this machine; undefined if unknown. Runs no model. */
export async function knownSeconds(
  operation: AnyOperation,
  request: RequestOf<Fields>,
  environment: Pick<Environment, 'samples' | 'open' | 'costsFolder'>,
): Promise<number | undefined> {
  const work = await remainingWork(operation, request, environment);
  const known =
    work && (await rememberedSeconds(environment.costsFolder, ratedWork(operation, request, work)));
  return work && atMostLongest(known, work);
}

/** Like {@link knownSeconds}, but times a short run of the model if there is no earlier run; undefined for little work. */
export async function foreseenSeconds(
  operation: AnyOperation,
  request: RequestOf<Fields>,
  context: Pick<OperationContext, 'environment' | 'cancellation'>,
): Promise<number | undefined> {
  const work = await remainingWork(operation, request, context.environment);
  return work && expectedSeconds(operation, request, work, context);
}

async function remainingWork(
  { work, resume }: AnyOperation,
  request: RequestOf<Fields>,
  environment: Pick<Environment, 'samples' | 'open'>,
): Promise<Work | undefined> {
  // A resumed run skips saved work, and its amount is not known in advance.
  const isResumed = [resume?.(request) ?? []].flat().some((place) => existsSync(place));
  // The run itself reports errors.
  return isResumed ? undefined : work?.(request, environment).catch(() => undefined);
}

async function expectedSeconds(
  operation: AnyOperation,
  request: RequestOf<Fields>,
  work: Work,
  { environment, cancellation }: Pick<OperationContext, 'environment' | 'cancellation'>,
): Promise<number | undefined> {
  const known = await rememberedSeconds(
    environment.costsFolder,
    ratedWork(operation, request, work),
  );
  if (known !== undefined || work.probe === undefined) {
    return atMostLongest(known, work);
  }
  const { device = 'auto', memory = '' } = request as RunRequest;
  const options = runOptions({ device, memory });
  try {
    const where = {
      device: await resolveDevice(options.device, () => undefined),
      memoryBytes: options.memoryBytes,
    };
    return await estimateSeconds(await work.probe(where), cancellation);
  } catch (error) {
    if (error instanceof CancelledError) {
      throw error;
    }
    return undefined;
  }
}

const atMostLongest = (
  seconds: number | undefined,
  { longest = Number.POSITIVE_INFINITY }: Work,
): number | undefined => seconds && Math.min(seconds, longest);

function ratedWork(
  { id }: AnyOperation,
  request: RequestOf<Fields>,
  { kind, amount, parameters = 1 }: Work,
): RatedWork {
  const { device, memory } = request as RunRequest;
  return { kind: JSON.stringify([id, device, memory, ...kind]), amount, parameters };
}

/**
 * Interval at which files are checked. A job that reads two versions of a model as one wastes at
 * most this time.
 */
const lookMilliseconds = 1000;

/**
 * Runs a job, and stops it when a file of a model that it has opened changes: its numbers would describe neither state.
 * @throws UserError naming the file.
 */
export async function watchingModels<T>(
  context: OperationContext,
  run: (context: OperationContext) => Promise<T>,
): Promise<T> {
  const stamps = new Map<string, string>();
  let changed: string | undefined;
  const look = async (): Promise<void> => {
    for (const [file, stamp] of stamps) {
      if ((await fileStamp(file)) !== stamp) {
        changed ??= file;
      }
    }
  };
  const timer = setInterval(() => void look(), lookMilliseconds);
  const { environment, cancellation } = context;
  try {
    return await run({
      ...context,
      cancellation: {
        get isCancellationRequested() {
          return changed !== undefined || cancellation.isCancellationRequested;
        },
      },
      environment: {
        ...environment,
        open: async (path) => {
          const opened = await environment.open(path);
          for (const file of opened.files) {
            stamps.set(file, stamps.get(file) ?? (await fileStamp(file)));
          }
          return opened;
        },
      },
    });
  } catch (error) {
    // Errors of a job about a file that has changed are irrelevant.
    await look();
    throw changed === undefined ||
      (error instanceof CancelledError && cancellation.isCancellationRequested)
      ? error
      : new UserError('model-changed', say`The file changed while the job read it.`, {
          file: changed,
          remedy: say`Don't change the model while a job runs, and start the job again.`,
        });
  } finally {
    clearInterval(timer);
  }
}
