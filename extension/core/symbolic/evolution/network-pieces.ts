import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { workItemKey, hashSetup, readMessage } from '../../distribute/work-item';
import type { WorkItem, WorkSetup } from '../../distribute/work-item';
import type { OpenTaskRunner, TaskRunner } from '../../distribute/with-workers';
import { unattended } from '../../jobs/job';
import { say } from '../../message';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { fits, moduleModes } from '../../models/patch/graph-slots';
import { floatsIn, floatTensor } from '../../runtime/tensors';
import type { Tensors } from '../../runtime/tensors';
import { createNetwork, networkSizes } from '../module/network';
import type { Head } from '../module/network';
import { trainingSteps, trainNetwork } from '../module/train-network';
import { drawSplits } from '../raven/splits';
import type { RavenSplits, SplitRequest } from '../raven/splits';
import { dataSettingsSchema, metricsSchema, networkSizeNames } from './gssnn-document';
import type { EvolutionSettings } from './gssnn-document';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** Maximum number of weights compared before a worker joins. */
const mostNumbers = 512;

/** Settings shared by the networks of an evolution. */
const sharedSchema = v.object({
  size: v.picklist(networkSizeNames),
  mode: v.picklist(moduleModes),
  epochs: count,
  data: dataSettingsSchema,
});
type Shared = v.InferOutput<typeof sharedSchema>;

const graphSchema: v.GenericSchema<SymbolicGraph> = v.object({
  nodes: v.array(count),
  edges: v.array(v.object({ id: count, port: count, ends: v.tuple([count, count]) })),
  nextId: count,
});

const requestSchema = v.object({
  /** Graph in the middle of the network; a dense layer if absent. */
  graph: v.optional(graphSchema),
  seed: v.number(),
});
export type NetworkRequest = v.InferInput<typeof requestSchema>;

const resultSchema = v.object({
  metrics: metricsSchema,
  /** Float32 weights. */
  weights: v.record(v.string(), v.object({ dims: v.array(count), data: v.instance(Float32Array) })),
});
export type NetworkResult = v.InferOutput<typeof resultSchema>;

/** Request for the data of an evolution. */
export function splitRequest({
  size,
  data,
}: Pick<EvolutionSettings, 'size' | 'data'>): SplitRequest {
  return { ...data, size: networkSizes[size].encoder.imageSize };
}

/** Setup sent to workers that train networks. It contains no files: the images are generated from their seed. */
export function networkSetup(
  { size, mode, epochs, data }: EvolutionSettings,
  version: string,
): WorkSetup {
  const shared: Shared = { size, mode, epochs, data };
  const job = createHash('sha256').update(JSON.stringify([version, shared]));
  return { kind: 'networks', key: hashSetup(job.digest('hex'), 'cpu'), files: {}, data: shared };
}

export function networkWorkItem(
  setup: WorkSetup,
  number: number,
  request: NetworkRequest,
): WorkItem<NetworkResult> {
  const key = workItemKey(setup, request);
  return { key, lane: number, cost: 1, request, result: resultSchema };
}

/** Creates the untrained network of a request. */
export const networkFor = (
  { size, mode }: Pick<Shared, 'size' | 'mode'>,
  { graph, seed }: NetworkRequest,
): ReturnType<typeof createNetwork> => {
  const head: Head = graph === undefined ? { kind: 'linear' } : { kind: 'graph', graph, mode };
  return createNetwork(networkSizes[size], head, seed);
};

/** Weights from the result of a {@link networkWorkItem}. */
export const resultWeights = ({ weights }: NetworkResult): Tensors =>
  Object.fromEntries(
    Object.entries(weights).map(([name, { dims, data }]) => [name, floatTensor(data, dims)]),
  );

/** Trains networks on generated data. */
export const networkWork = (
  shared: Shared,
  splits: RavenSplits,
): Pick<TaskRunner, 'do' | 'probe'> => ({
  do: async (asked, job): Promise<NetworkResult> => {
    const request = readMessage(requestSchema, asked, 'The piece');
    const { graph, seed } = request;
    if (graph !== undefined && !fits(graph, shared.mode, networkSizes[shared.size].features)) {
      throw new Error('The graph of the piece has no room in the network.');
    }
    const { epochs, data } = shared;
    const total = trainingSteps(data.train, epochs);
    const { metrics, weights } = await trainNetwork(
      networkFor(shared, request),
      splits,
      { epochs, seed },
      {
        cancellation: job.cancellation,
        step: (done) => {
          job.progress({ stage: say`Training`, done, total, unit: 'steps' });
        },
      },
    );
    return { metrics, weights: sent(weights) };
  },
  probe: async () => {
    const { train, validation } = splits;
    const few = { ...splits, train: train.first(1), validation: validation.first(0) };
    const { weights } = await trainNetwork(
      networkFor(shared, { seed: 0 }),
      { ...few, test: few.validation },
      { epochs: 1, seed: 0 },
      unattended,
    );
    const numbers = Object.values(weights).flatMap((tensor) => [...floatsIn(tensor)]);
    const every = Math.max(1, Math.ceil(numbers.length / mostNumbers));
    return numbers.filter((_, i) => i % every === 0);
  },
});

const sent = (weights: Tensors): NetworkResult['weights'] =>
  Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => [
      name,
      { dims: [...tensor.dims], data: Float32Array.from(floatsIn(tensor)) },
    ]),
  );

/** Opens what a worker trains networks with. */
export const openNetworkRunner: OpenTaskRunner = async (data) => {
  const shared = readMessage(sharedSchema, data, 'What pieces share');
  const splits = await drawSplits(splitRequest(shared), unattended);
  return { ...networkWork(shared, splits), dispose: async () => Promise.resolve() };
};
