import * as v from 'valibot';
import { modelInputSchema, portableInput } from '../../distribute/input-schema';
import { hashSetup, readMessage, kernelProbe } from '../../distribute/work-item';
import type { Engine, WorkSetup } from '../../distribute/work-item';
import type { OpenTaskRunner } from '../../distribute/task-runner';
import { withWorkers } from '../../distribute/with-workers';
import type { PoolContext } from '../../distribute/with-workers';
import { metricNames, metrics } from '../../metrics/metrics';
import { counted, say } from '../../message';
import type { OpenedModel } from '../../models/opened-model';
import { deviceNames } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { requireMemory } from '../../runtime/memory-shares';
import type { ScorerSetup } from '../scorer';
import { shardRequestSchema, ShardWork } from './shard-work';
import { SharedScorer } from './shared-scorer';

/** Job whose search runs on several workers. */
interface SharedJob {
  readonly engine: Engine;
  /** Unique key of the job. */
  readonly key: string;
  readonly model: OpenedModel;
  /** Memory of the whole job in bytes. */
  readonly memoryBytes: number;
}

const dataSchema = v.object({
  sequences: v.pipe(v.array(modelInputSchema), v.readonly()),
  metricName: v.picklist(metricNames),
  device: v.picklist(deviceNames),
  memoryBytes: v.number(),
});

/** Runs a search whose scorers distribute their work to the workers of an engine. */
export async function shareSearch<T>(
  { engine, key, model, memoryBytes }: SharedJob,
  setup: ScorerSetup,
  context: PoolContext,
  action: (setup: ScorerSetup) => Promise<T>,
): Promise<T> {
  const { sequences, metricName, executor } = setup;
  const home = new ShardWork(setup);
  if ((engine.size ?? 0) > sequences.length) {
    const most = counted(sequences.length, 'sequence');
    context.warn(say`A search of ${most} can use at most one worker per sequence.`);
  }
  const shared: WorkSetup = {
    ...{ kind: 'search', key: hashSetup(key, executor.device) },
    files: { model: { fingerprint: model.summary.fingerprint, path: model.path } },
    data: {
      ...{ sequences: sequences.map(portableInput), metricName },
      ...{ device: executor.device, memoryBytes },
    } satisfies v.InferInput<typeof dataSchema>,
  };
  return withWorkers(
    engine,
    shared,
    {
      do: async (request, job) =>
        home.do(readMessage(shardRequestSchema, request, 'The piece'), job),
      probe: async () => kernelProbe(executor, sequences[0]),
    },
    context,
    async (pieces) =>
      action({
        ...setup,
        share: (use) => new SharedScorer(setup, { pieces, setup: shared, home }, use),
      }),
  );
}

/** Opens the task runner for work items of searches. */
export const openSearchRunner: OpenTaskRunner = async (data, { openModel, threads, ...limits }) => {
  const { sequences, metricName, ...job } = readMessage(dataSchema, data, 'What pieces share');
  const { device = job.device, memoryBytes: memory = job.memoryBytes * limits.memoryShare } =
    limits;
  const { model } = await openModel();
  requireMemory(model, memory, device);
  const executor = new LayeredExecutor(model, device, memory, { threads });
  const work = new ShardWork({
    ...{ executor, sequences, metricName, metric: metrics[metricName] },
    onWork: () => undefined,
  });
  return {
    do: async (request, job) => work.do(readMessage(shardRequestSchema, request, 'The piece'), job),
    probe: async () => kernelProbe(executor, sequences[0]),
    dispose: async () => executor.dispose(),
  };
};
