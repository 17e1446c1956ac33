import type { JobContext } from '../core/jobs/job';
import { asSetting, validateRequest } from '../core/operations/build-request';
import type { AnyOperation } from '../core/operations/operation';
import { runOperation } from '../core/operations/run-operation';
import type { JobEvent, WorkerRequests } from '../protocol/worker';
import { environment } from './environment';
import type { Handlers } from './serve';

/** Handler of the requests of some operations; each request is validated. */
export function answering<Id extends keyof WorkerRequests>(
  operations: readonly { readonly id: Id }[],
): Handlers<Pick<WorkerRequests, Id>> {
  const declared = operations as unknown as readonly AnyOperation[];
  return Object.fromEntries(
    declared.map((operation) => [
      operation.id,
      async (request: unknown, context: JobContext<JobEvent>) =>
        runOperation(operation, validateRequest(operation, request, asSetting(operation.fields)), {
          ...context,
          environment,
        }),
    ]),
  ) as unknown as Handlers<Pick<WorkerRequests, Id>>;
}
