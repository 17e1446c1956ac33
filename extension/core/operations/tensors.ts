import * as v from 'valibot';
import { describeModel } from '../inspect/describe-model';
import type { ModelDescription, StoredTensor } from '../inspect/model-description';
import { allTensors } from '../inspect/tensor-table';
import type { PlacedTensor } from '../inspect/tensor-table';
import { tensorStatistics } from '../inspect/tensor-statistics';
import type { TensorStatistics } from '../inspect/tensor-statistics';
import { explainUnreadable } from '../inspect/tensor-values';
import type { JobContext } from '../jobs/job';
import { flag } from './fields';
import { defineOperation } from './operation';
import { modelField } from './shared-fields';
import { say, verbatim } from '../message';

/** Every tensor of a model. */
export interface TensorList extends Pick<
  ModelDescription,
  'name' | 'path' | 'format' | 'family' | 'totals'
> {
  readonly tensors: readonly ListedTensor[];
}

export interface ListedTensor extends StoredTensor {
  /** Id of the sublayer, or the part outside of the blocks. */
  readonly place: string;
  readonly kind: string;
  /** Null if values of this dtype can't be read; absent if not requested. */
  readonly statistics?: TensorStatistics | null;
}

export const tensors = defineOperation({
  id: 'tensors',
  title: 'List Tensors',
  verb: 'Reading',
  summary: 'List every tensor of a model, optionally with statistics of its values.',
  group: 'inspect',
  fields: {
    model: modelField,
    stats: flag({ description: 'Read all weights and compute their statistics', default: false }),
  },
  rules: [],
  result: v.looseObject({
    totals: v.looseObject({ tensors: v.number() }),
    tensors: v.array(v.looseObject({ name: v.string(), place: v.string(), dtype: v.string() })),
  }),
  trust: 'inspect',
  run: async ({ model: path, stats }, context): Promise<TensorList> => {
    const model = await describeModel(path, context.environment.open);
    const placed = allTensors(model);
    const known = stats ? await measure(placed, context) : undefined;
    const { name, path: place, format, family, totals } = model;
    return {
      ...{ name, path: place, format, family, totals },
      tensors: placed.map(({ tensor, place, kind }) => ({
        ...tensor,
        place,
        kind,
        ...(known === undefined ? {} : { statistics: known.get(tensor.name) ?? null }),
      })),
    };
  },
});

async function measure(
  placed: readonly PlacedTensor[],
  job: JobContext,
): Promise<ReadonlyMap<string, TensorStatistics>> {
  const total = placed.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
  const statistics = new Map<string, TensorStatistics>();
  let before = 0;
  for (const { tensor } of placed) {
    const unreadable = explainUnreadable(tensor);
    if (unreadable === undefined) {
      const progress = (done: number): void => {
        job.progress({ stage: verbatim(tensor.name), done: before + done, total, unit: 'bytes' });
      };
      statistics.set(tensor.name, await tensorStatistics(tensor, job.cancellation, progress));
    } else {
      job.warn(say`${tensor.name}: ${unreadable}`);
    }
    before += tensor.bytes;
  }
  return statistics;
}
