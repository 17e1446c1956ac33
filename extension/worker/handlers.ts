import { join } from 'node:path';
import packageJson from '../../package.json';
import type { SeedTask } from '../core/datadiet/seed-tasks';
import { runInChild } from '../core/jobs/child-task';
import type { TaskJob } from '../core/jobs/child-task';
import type { JobContext } from '../core/jobs/job';
import { ModelCache } from '../core/models/model-cache';
import type { OpenedModel } from '../core/models/opened-model';
import { costsFolder } from '../core/runtime/user-cache';
import { asSetting, validateRequest } from '../core/operations/build-request';
import type { AnyOperation } from '../core/operations/operation';
import { operations } from '../core/operations/operations';
import { runOperation } from '../core/operations/run-operation';
import type { JobEvent, WorkerRequests } from '../protocol/worker';
import type { Handlers } from './serve';

/** Texts that come with the extension, beside the folder of the bundles. */
const samples = join(import.meta.dirname, '..', 'samples');

/** What trains seeds side by side. */
const script = join(import.meta.dirname, 'trainer.js');
const processes = {
  run: async (task: SeedTask, job: TaskJob): Promise<unknown> => runInChild({ script }, task, job),
};

/** Models of the last jobs: the next one on the same files reads none again. */
const models = new ModelCache({ capacity: 4 });

const environment = {
  samples,
  version: packageJson.version,
  costsFolder: costsFolder(),
  processes,
  open: async (path: string): Promise<OpenedModel> => models.open(path),
};

/** What answers each request: an operation, which checks it. */
export const handlers = Object.fromEntries(
  operations.map((operation) => [
    operation.id,
    async (request: unknown, context: JobContext<JobEvent>) =>
      runOperation(
        operation as unknown as AnyOperation,
        validateRequest(operation as unknown as AnyOperation, request, asSetting(operation.fields)),
        { ...context, environment },
      ),
  ]),
) as unknown as Handlers<WorkerRequests>;
