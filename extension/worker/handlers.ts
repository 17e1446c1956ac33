import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import packageJson from '../../package.json';
import type { SeedTask } from '../core/datadiet/seed-tasks';
import { runInChild } from '../core/jobs/child-task';
import type { TaskJob } from '../core/jobs/child-task';
import type { JobContext } from '../core/jobs/job';
import { ModelCache } from '../core/models/model-cache';
import type { OpenedModel } from '../core/models/opened-model';
import { costsFolder } from '../core/runtime/user-cache';
import { planForBudget, defaultRounds } from '../core/tensornet/budget/plan-for-budget';
import { calibrationOf } from '../core/tensornet/sensitivity/sensitivity-profile';
import { parseSensitivityProfile } from '../core/tensornet/sensitivity/sensitivity-profile-schema';
import { withOuter, withWays } from '../core/tensornet/sensitivity/ways';
import { asSetting, validateRequest } from '../core/operations/build-request';
import type { AnyOperation } from '../core/operations/operation';
import { operations } from '../core/operations/operations';
import type { JobEvent, OperationRequests, WorkerRequests } from '../protocol/worker';
import type { Handlers } from './serve';

/** Texts that come with the extension, beside the folder of the bundles. */
const samples = join(import.meta.dirname, '..', 'samples');
const calibrationText = join(samples, 'calibration.txt');

/** What trains seeds side by side. */
const script = join(import.meta.dirname, 'trainer.js');
const processes = {
  run: async (task: SeedTask, job: TaskJob): Promise<unknown> => runInChild({ script }, task, job),
};

/** Models of the last jobs: the next one on the same files reads none again. */
const models = new ModelCache({ capacity: 4 });

/** The request with its model opened. */
async function opened<R extends { readonly model: string }>(
  request: R,
): Promise<Omit<R, 'model'> & { readonly model: OpenedModel }> {
  return { ...request, model: await models.open(request.model) };
}

const environment = {
  samples,
  version: packageJson.version,
  costsFolder: costsFolder(),
  processes,
  open: async (path: string): Promise<OpenedModel> => models.open(path),
};

/** A handler per operation, which checks its request. */
const operationHandlers = Object.fromEntries(
  operations.map((operation) => [
    operation.id,
    async (request: unknown, context: JobContext<JobEvent>) =>
      (operation as unknown as AnyOperation).run(
        validateRequest(operation as unknown as AnyOperation, request, asSetting(operation.fields)),
        { ...context, environment },
      ),
  ]),
) as unknown as Handlers<OperationRequests>;

/** What answers each request: operations, and what is not one yet. */
export const handlers: Handlers<WorkerRequests> = {
  ...operationHandlers,
  planBudget: async ({ table: file, ways, outer, ...request }, context) => {
    const whole = parseSensitivityProfile(await readFile(file, 'utf8'), file);
    const table = outer ? whole : withOuter(whole, []);
    return planForBudget(
      {
        ...(await opened(request)),
        table: withWays(table, ways),
        rounds: defaultRounds,
        calibration: calibrationOf(table),
        bundledText: calibrationText,
        folder: `${file}.plan`,
      },
      context,
    );
  },
};
