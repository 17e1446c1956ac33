import * as v from 'valibot';
import {
  modelInputSchema,
  portableInput,
  workItemKey,
  hashSetup,
  readMessage,
  kernelProbe,
} from '../../distribute/work-item';
import type { Engine, WorkSetup } from '../../distribute/work-item';
import type { OpenTaskRunner, PoolContext } from '../../distribute/with-workers';
import { withWorkers } from '../../distribute/with-workers';
import type { OpenedModel } from '../../models/opened-model';
import { deviceNames } from '../../runtime/device';
import { costsSchema } from '../costs/machine-costs';
import type { MachineCosts } from '../costs/machine-costs';
import { layerRequestSchema, layerResultSchema, LayerWork } from './layer-work';
import type { LayerRequest, LayerResult, LayerSetup } from './layer-work';
import type { SensitivitySettings } from './sensitivity-profile';
import { settingsSchema } from './sensitivity-profile-schema';
import { createTiming } from './timing';

const dataSchema = v.object({
  measured: v.array(modelInputSchema),
  fitting: v.array(modelInputSchema),
  settings: settingsSchema,
  device: v.picklist(deviceNames),
  /** Memory limit of the whole job. */
  memoryBytes: v.number(),
  /** Costs of the machine that times refer to. */
  machine: v.optional(costsSchema),
});

/** Data shared by all work items. */
type LayerData = Readonly<
  Pick<LayerSetup, 'measured' | 'fitting' | 'settings' | 'device' | 'memoryBytes'>
> & { readonly machine: MachineCosts | undefined };

/** Job whose layers are distributed. */
interface SharedJob {
  readonly engine: Engine;
  /** Key of the job. */
  readonly key: string;
  readonly model: OpenedModel;
  readonly scratch: string;
  readonly data: LayerData;
}

const embeddingLane = -1;

/** Measures a work item, in this process or on a worker. */
type Ask = (request: LayerRequest, cost: number) => Promise<LayerResult>;

/**
 * Distributes the work items of a sensitivity profile among the workers of an engine and this process, which has
 * `work`.
 */
export async function shareLayers(
  { engine, key, model, scratch, data }: SharedJob,
  work: LayerWork,
  context: PoolContext,
  action: (ask: Ask) => Promise<void>,
): Promise<void> {
  const setup: WorkSetup = {
    ...{ kind: 'sensitivity', key: hashSetup(key, data.device), scratch },
    data: {
      ...data,
      measured: data.measured.map(portableInput),
      fitting: data.fitting.map(portableInput),
    },
    files: { model: { fingerprint: model.summary.fingerprint, path: model.path } },
  };
  await withWorkers(
    engine,
    setup,
    {
      do: async (request, job) =>
        work.do(readMessage(layerRequestSchema, request, 'The piece'), job),
      probe: async () => kernelProbe(work.executor, data.measured[0]),
    },
    context,
    async (pieces) =>
      action(async (request, cost) => {
        const key = workItemKey(setup, request);
        // Embedding and head need no states of a sublayer: whoever is free has a lane for them.
        const lane = request.kind === 'embedding-or-head' ? embeddingLane : request.sublayer;
        const piece = { key, lane, cost, request, result: layerResultSchema };
        return (await pieces.add(piece).result) as LayerResult;
      }),
  );
}

/** Opens what a worker measures layers with. */
export const openLayerRunner: OpenTaskRunner = async (
  data,
  { openModel, threads, scratch, ...limits },
) => {
  const { measured, fitting, settings, machine, ...job } = readMessage(
    dataSchema,
    data,
    'What pieces share',
  );
  const { device = job.device, memoryBytes = job.memoryBytes * limits.memoryShare } = limits;
  const work = new LayerWork({
    ...{ model: await openModel(), device, memoryBytes, threads, measured, fitting },
    settings: settings as SensitivitySettings,
    timing: createTiming(machine),
    folder: scratch,
    onWork: () => undefined,
  });
  return {
    do: async (request, job) => work.do(readMessage(layerRequestSchema, request, 'The piece'), job),
    probe: async () => kernelProbe(work.executor, measured[0]),
    dispose: async () => work.dispose(),
  };
};
