import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { parseQueueAddress } from '../distribute/queue/address';
import { serveQueue } from '../distribute/queue/queue-worker';
import { findData } from '../data/datasets/find-data';
import type { JobContext } from '../jobs/job';
import { findModels } from '../models/find-models';
import { resolveDevice } from '../runtime/devices';
import { UserError } from '../user-error';
import { group, integer, paths } from './fields';
import { defineOperation } from './operation';
import { anyOf } from './rules';
import { runFields, runOptions } from './shared-fields';
import { openQueue, workItemsBundle, serverFields } from './sharing';
import { counted, joined, say, verbatim } from '../message';

/** Completed work of a worker. */
interface Served {
  readonly done: number;
  readonly failed: number;
}

export const workForQueue = defineOperation({
  id: 'worker',
  title: 'Work for a Queue',
  verb: 'Working for',
  summary: 'Run work items of a queue, on the models and datasets of this machine, until stopped.',
  group: 'tools',
  fields: {
    ...serverFields,
    models: paths({
      description: 'Folders to search for models, which are matched by fingerprint',
      placeholder: 'DIR,…',
    }),
    data: paths({
      description: 'Folders of datasets, and of models to train on them, found by content',
      placeholder: 'DIR,…',
    }),
    ...group('Running', {
      workers: integer({
        description: 'Processes, which share cores and memory',
        default: 1,
        min: 1,
      }),
    }),
    ...runFields,
  },
  rules: [anyOf('models', 'data')],
  result: v.looseObject({ done: v.number(), failed: v.number() }),
  trust: 'run',
  run: async (request, context): Promise<Served> => {
    const { workers } = request;
    const { environment, cancellation } = context;
    const options = runOptions(request);
    const models = await modelsIn(request.models ?? [], context);
    const data = await findData(request.data ?? []);
    const device = await resolveDevice(options.device, (message) => {
      context.warn(message);
    });
    const server = await openQueue(request, environment);
    const scratch = await mkdtemp(join(tmpdir(), 'espalier-worker-'));
    const count = { done: 0, failed: 0 };
    const about = joined(
      [
        counted(models.size, 'model'),
        data.size === 0 ? undefined : counted(data.size, 'possible dataset'),
      ],
      ', ',
    );
    context.inform(
      say`Waiting for work at ${parseQueueAddress(request.queue).shown} with ${about}. Ctrl-C stops after the current work item.`,
    );
    try {
      await serveQueue(
        server,
        {
          ...{ script: workItemsBundle(environment), models, data, workers, scratch },
          version: environment.version,
          limits: {
            ...{ device, memoryShare: 1, memoryBytes: options.memoryBytes / workers },
            threads: Math.max(1, Math.floor(availableParallelism() / workers)),
          },
        },
        cancellation,
        ({ worker, failure }) => {
          count[failure === undefined ? 'done' : 'failed']++;
          if (failure !== undefined) {
            context.warn(say`${worker}: a work item failed. ${verbatim(failure)}`);
          }
          const done = count.done + count.failed;
          context.progress({ stage: say`Work items done`, done, total: done, unit: 'steps' });
        },
      );
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    return count;
  },
});

/** Models of some folders, by fingerprint. Reports those that can't be opened. */
async function modelsIn(
  folders: readonly string[],
  context: Pick<JobContext, 'inform'>,
): Promise<ReadonlyMap<string, string>> {
  const { paths: found, unread } = await findModels(folders);
  const [example] = unread;
  if (found.size === 0 && folders.length > 0) {
    throw new UserError('models-missing', say`There is no model in ${folders.join(', ')}.`, {
      field: 'models',
      remedy:
        example === undefined
          ? say`Specify a folder that contains model folders, .gguf or .onnx files.`
          : verbatim(example),
    });
  }
  if (example !== undefined) {
    context.inform(
      say`${counted(unread.length, 'model')} can't be opened and will be skipped. ${verbatim(example)}`,
    );
  }
  return found;
}
