import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import { isOnnx } from '../../checkpoints/model-folder';
import { fingerprintFiles } from '../../data/fingerprint-files';
import { hashSetup } from '../../distribute/work-item';
import type { WorkFile, WorkSetup } from '../../distribute/work-item';
import type { RunnerResources } from '../../distribute/with-workers';
import { scoreKinds } from '../scores/score-document';
import { proxyNames } from './proxy-model';
import type { RunFolder } from './run-folder';
import type { FitRequest } from './training-settings';
import { schedules } from './training-settings';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const optionsSchema = v.object({
  label: v.optional(v.string()),
  text: v.optional(v.string()),
  features: v.optional(v.array(v.string())),
  classNames: v.optional(v.array(v.string())),
  imageSize: v.optional(v.object({ height: count, width: count })),
  imageChannels: v.optional(v.picklist([1, 3])),
});

const trainingSchema = v.object({
  batchSize: count,
  learningRate: v.number(),
  schedule: v.picklist(schedules),
  momentum: v.number(),
  weightDecay: v.number(),
  threads: v.optional(count),
});

/** Settings shared by the trainings of a job. Contains no file paths. */
export const seedDataSchema = v.object({
  options: optionsSchema,
  training: trainingSchema,
  /** Built-in model, if the model is not a file. */
  proxy: v.object({ model: v.optional(v.picklist(proxyNames)), maxTokens: v.optional(count) }),
  noise: v.optional(v.object({ rate: v.number(), seed: v.number() })),
  /** Purpose of the trainings. */
  work: v.variant('kind', [
    v.object({
      kind: v.literal('score'),
      part: v.picklist(['whole', 'train']),
      score: v.picklist(scoreKinds),
      epoch: count,
    }),
    v.object({ kind: v.literal('train'), epochs: count }),
    v.object({ kind: v.literal('fit') }),
  ]),
  /** Fingerprint of the training examples, and of the test examples if any. */
  fingerprint: v.string(),
});
type SeedData = v.InferOutput<typeof seedDataSchema>;
export type SeedWork = SeedData['work'];

const indices = v.custom<Int32Array>((value) => value instanceof Int32Array);

/** Schema of the request to train one seed. */
export const seedRequestSchema = v.variant('kind', [
  v.object({ kind: v.literal('seed'), seed: count }),
  v.object({
    kind: v.literal('fit'),
    examples: indices,
    seed: count,
    steps: count,
    /** Name of the checkpoint file. */
    checkpoint: v.pipe(v.string(), v.regex(/^\w+\.safetensors$/)),
    validation: v.optional(indices),
  }),
]);
type SeedRequest = v.InferOutput<typeof seedRequestSchema>;

/** Training that may run on another worker. */
export interface SeedWorkItem {
  readonly request: SeedRequest;
  /** Path of the local checkpoint, from which the training resumes. */
  readonly checkpoint: string;
}

/** Creates the work item of a seed whose settings are shared by the job. */
export const seedWorkItem = (seed: number, folder: RunFolder): SeedWorkItem => ({
  request: { kind: 'seed', seed },
  checkpoint: folder.checkpoint(seed),
});

/** Model whose tokenizer reads texts by default. */
export const defaultTokenizerIn = (samples: string): string => join(samples, 'espalier-sample');

/** Creates the setup that workers need for the trainings of a request. */
export async function seedSetup(
  request: FitRequest,
  work: SeedWork,
  {
    fingerprint,
    folder,
    version,
  }: {
    /** Fingerprint of the training and test examples. */
    readonly fingerprint: string;
    /** Folder for local files. */
    readonly folder: string;
    /** Version of Espalier. */
    readonly version: string;
  },
): Promise<WorkSetup> {
  const { data: path, test, options, training, noise, proxy } = request;
  const isFile = isOnnx(proxy.model);
  const paths = { data: path, test, model: isFile ? proxy.model : undefined };
  const files: Record<string, WorkFile> = {};
  for (const [name, one] of Object.entries({ ...paths, tokenizer: proxy.tokenizer })) {
    if (one !== undefined) {
      files[name] = { path: one, fingerprint: await fingerprintFiles(one) };
    }
  }
  const data = {
    ...{ options, training, work, fingerprint },
    proxy: {
      ...(isFile ? {} : { model: proxy.model }),
      ...(proxy.maxTokens === undefined ? {} : { maxTokens: proxy.maxTokens }),
    },
    ...(noise === undefined ? {} : { noise }),
  };
  const prints = Object.entries(files).map(([name, file]) => [name, file.fingerprint]);
  const job = createHash('sha256').update(JSON.stringify([version, data, prints]));
  const key = hashSetup(job.digest('hex'), 'cpu');
  return { kind: 'seeds', key, files, data, scratch: folder };
}

/** Restores the request of a setup, with the paths of this machine. */
export function restoreRequest(
  { options, training, noise, proxy }: SeedData,
  { files, samples }: Pick<RunnerResources, 'files' | 'samples'>,
): FitRequest {
  const { data = '', test, model = proxy.model, tokenizer } = files;
  return {
    ...{ data, options, training },
    ...(test === undefined ? {} : { test }),
    ...(noise === undefined ? {} : { noise }),
    proxy: {
      ...{ model: model ?? '', defaultTokenizer: defaultTokenizerIn(samples) },
      ...(tokenizer === undefined ? {} : { tokenizer }),
      ...(proxy.maxTokens === undefined ? {} : { maxTokens: proxy.maxTokens }),
    },
  } as FitRequest;
}
