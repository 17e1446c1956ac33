import { existsSync } from 'node:fs';
import { CancelledError } from '../jobs/job';
import { resolveDevice } from '../runtime/devices';
import type { DeviceChoice } from '../runtime/device';
import { secondsOf } from '../runtime/model-speed';
import type { AnyOperation, OperationContext } from './operation';
import type { RequestOf, Fields } from './fields';
import { runOptions } from './shared-fields';
import { say } from '../message';

/** What requests of operations on a model may have. */
interface ModelRequest {
  readonly model?: string;
  readonly device?: DeviceChoice;
  readonly memory?: string;
}

/** Runs an operation, and says first how long it takes on this machine where a short run can tell. */
export async function runOperation(
  operation: AnyOperation,
  request: RequestOf<Fields>,
  context: OperationContext,
): Promise<unknown> {
  const seconds = await expectedSeconds(operation, request, context).catch((error: unknown) => {
    if (error instanceof CancelledError) {
      throw error;
    }
    // What is wrong is for the run to say.
    return undefined;
  });
  if (seconds !== undefined) {
    context.progress({
      stage: say`Starting`,
      done: 0,
      total: 1,
      unit: 'steps',
      secondsLeft: seconds,
    });
  }
  return operation.run(request, context);
}

async function expectedSeconds(
  { work, resume }: AnyOperation,
  request: RequestOf<Fields>,
  { environment, cancellation }: OperationContext,
): Promise<number | undefined> {
  const { model: path, device = 'auto', memory = '' } = request as ModelRequest;
  // What an earlier run has saved is not done again: how much that is shows only in the run.
  const isResumed = [resume?.(request) ?? []].flat().some((place) => existsSync(place));
  if (work === undefined || path === undefined || isResumed) {
    return undefined;
  }
  const model = await environment.open(path);
  const tokens = work(request, model, environment);
  const run = runOptions({ device, memory });
  return (
    tokens &&
    secondsOf(tokens, model.model, {
      device: await resolveDevice(run.device, () => undefined),
      memoryBytes: run.memoryBytes,
      cancellation,
    })
  );
}
