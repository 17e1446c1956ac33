import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asSetting, buildRequest } from '../../extension/core/operations/build-request';
import type { AnyOperation } from '../../extension/core/operations/operation';
import { operations } from '../../extension/core/operations/operations';
import type { OperationId } from '../../extension/core/operations/operations';
import { planFor } from '../../extension/core/plans/plan';
import { cloudsTable } from '../unit/datadiet/toy-data';

/** Read-only inputs of all kinds of work. */
export interface Sources {
  readonly folder: string;
  readonly model: string;
  readonly changed: string;
  readonly text: string;
  readonly data: string;
  readonly plan: string;
}

/** Work that is disturbed. */
export interface Kind {
  readonly operation: OperationId;
  /** Its options; results go into the folder `out`. */
  readonly given: (sources: Sources, out: string) => Readonly<Record<string, unknown>>;
  /** Changes of its options where it runs hundreds of times: less of the same. */
  readonly less?: Readonly<Record<string, unknown>>;
  /** The file of the folder `out` that comes last, where results come one by one. */
  readonly last?: string;
}

/** One task, as a window or `--config` sends it. */
export interface Task {
  readonly operation: OperationId;
  readonly request: Readonly<Record<string, unknown>>;
}

const calibrated = ({ text }: Sources): object => ({
  ...{ calibration: text, sequences: 2, length: 16, device: 'cpu' },
});
const applied = (
  { plan, text }: Sources,
  out: string,
  rest: object,
): Readonly<Record<string, unknown>> => ({
  ...{ plan, out: join(out, 'model'), heldOut: text, require: ['size<0%'], device: 'cpu', ...rest },
});

export const kinds = {
  profile: {
    operation: 'profile',
    given: (sources, out) => ({
      ...{ model: sources.model, out: join(out, 'model.layerprofile.json') },
      // The length of the perplexity text depends on the remaining time.
      ...{ all: true, search: 'naive', perplexity: false, ...calibrated(sources) },
    }),
  },
  remove: {
    operation: 'apply',
    given: (sources, out) => applied(sources, out, {}),
  },
  compress: {
    operation: 'compress',
    given: (sources, out) => ({
      ...{ model: sources.model, out: join(out, 'model'), method: 'lowrank:50%:covariance+int4' },
      ...calibrated(sources),
    }),
  },
  gguf: {
    operation: 'apply',
    given: (sources, out) => applied(sources, out, { format: 'gguf', type: 'Q8_0' }),
  },
  repair: {
    operation: 'repair',
    given: (sources, out) => ({
      ...{ model: sources.changed, teacher: sources.model, out: join(out, 'model') },
      ...calibrated(sources),
      sequences: 12,
    }),
    less: { sequences: 4, epochs: 1 },
  },
  scores: {
    operation: 'score-data',
    given: ({ data }, out) => ({
      ...{ data, out: join(out, 'data.scores.json'), label: 'label', model: 'mlp', batch: 16 },
      ...{ runs: 4, epoch: 2, workers: 2 },
    }),
  },
  synthesize: {
    operation: 'synthesize',
    last: 'modules/synthesis.gssnn.json',
    less: { programs: 6000, train: 8, validation: 8, test: 8, population: 2 },
    given: (_, out) => ({
      ...{ out: join(out, 'modules'), iterations: 2, population: 4, programs: 60_000, epochs: 1 },
      ...{ train: 16, validation: 20, test: 20, seed: 3, data: 'balanced', pictures: 2 },
    }),
  },
  budget: {
    operation: 'plan-compression',
    given: (sources, out) => ({
      ...{ model: sources.model, out: join(out, 'model.plan.json') },
      ...{
        budget: 0.8,
        methods: ['int8', 'int4'],
        rounds: 1,
        roles: ['up', 'down'],
        ...calibrated(sources),
      },
    }),
  },
} satisfies Readonly<Record<string, Kind>>;

export type KindName = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as KindName[];

/** Makes a folder of what the work reads: a model of two blocks, a text, a table, a plan. `changed` is made by the caller. */
export function makeSources(folder: string, model: string): Sources {
  mkdirSync(folder, { recursive: true });
  const sources = {
    ...{ folder, model, changed: join(folder, 'changed'), text: join(folder, 'text.txt') },
    ...{ data: join(folder, 'clouds.csv'), plan: join(folder, 'some.plan.json') },
  };
  writeFileSync(sources.text, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
  if (!existsSync(sources.data)) {
    cloudsTable(sources.data, 120);
  }
  const plan = planFor({ path: model }, { remove: ['block.1.attention'] });
  writeFileSync(sources.plan, `${JSON.stringify(plan)}\n`);
  return sources;
}

/** Operation that creates the model to repair. */
export const changedModel: Kind = {
  operation: 'compress',
  given: ({ model, changed }) => ({
    ...{ model, out: changed, method: 'lowrank:30%', calibrate: false, quality: false },
    device: 'cpu',
  }),
};

/** Smaller version of the same work, if the kind defines one. */
export const reduceKind = (kind: Kind): Kind => ({
  ...kind,
  given: (sources, out) => ({ ...kind.given(sources, out), ...kind.less }),
});

export function makeTask({ operation: id, given }: Kind, sources: Sources, out: string): Task {
  const operation = operations.find((one) => one.id === id) as unknown as AnyOperation;
  const request = buildRequest(operation, given(sources, out), {
    name: asSetting(operation.fields),
  });
  return { operation: id, request: { ...request } };
}
