import * as v from 'valibot';
import { Registry } from '../distribute/queue/registry';
import { defineOperation } from './operation';
import { openQueue, serverFields } from './sharing';

/** Workers of a queue, and their work. */
export interface QueueState {
  readonly workers: readonly {
    readonly name: string;
    readonly device: string;
    readonly version: string;
    readonly models: number;
    readonly data: number;
    readonly isBusy: boolean;
    readonly done: number;
    /** Work items per minute. */
    readonly rate: number;
  }[];
  readonly jobs: readonly {
    readonly kind: string;
    /** Fingerprint of the model or dataset. */
    readonly about: string;
    readonly done: number;
    readonly open: number;
    readonly rate: number;
    /** For the open work items; a search adds more in each round. */
    readonly secondsLeft: number | null;
  }[];
}

const pieces = { done: v.number(), rate: v.number() };

export const showQueue = defineOperation({
  id: 'queue',
  title: 'Show Queue',
  verb: 'Looking at',
  summary: 'List the workers and jobs of a queue.',
  group: 'tools',
  fields: serverFields,
  rules: [],
  result: v.looseObject({
    workers: v.array(v.looseObject({ name: v.string(), isBusy: v.boolean(), ...pieces })),
    jobs: v.array(v.looseObject({ kind: v.string(), open: v.number(), ...pieces })),
  }),
  trust: 'inspect',
  run: async (request, { environment }): Promise<QueueState> => {
    const { redis } = await openQueue(request, environment);
    try {
      const workers = await new Registry(redis, 'worker').list();
      const jobs = await new Registry(redis, 'job').list();
      return {
        workers: workers.map(({ models, data, piece, done, seconds, name, device, version }) => ({
          ...{ name, device, version, models, data },
          ...{ isBusy: piece !== null, done },
          rate: workRate(done, seconds),
        })),
        jobs: jobs.map(({ kind, about, done, open, seconds }) => ({
          ...{ kind, about, done, open, rate: workRate(done, seconds) },
          secondsLeft: done === 0 ? null : (open * seconds) / done,
        })),
      };
    } finally {
      redis.disconnect();
    }
  },
});

const workRate = (done: number, seconds: number): number =>
  seconds === 0 ? 0 : (60 * done) / seconds;
