import { resolve } from 'node:path';
import { defaultMaxTokens, proxyNames } from '../datadiet/training/proxy-model';
import type { ProxyRequest } from '../datadiet/training/proxy-model';
import { defaultTokenizerIn } from '../datadiet/training/seed-setup';
import type { SeedSharing } from '../datadiet/training/side-by-side';
import { defaultTraining, schedules } from '../datadiet/training/training-settings';
import type { TrainingSettings } from '../datadiet/training/training-settings';
import { LocalEngine } from '../distribute/local-engine';
import { localOnly } from '../distribute/with-workers';
import { choice, group, integer, number, path } from './fields';
import type { RequestOf } from './fields';
import type { Environment } from './operation';
import { createEngine, workItemsBundle } from './sharing';
import type { SharingRequest } from './sharing';
import type { CalibrationRequest } from '../data/calibration';
import { calibrationFields, requestedCalibration } from './shared-fields';
import type { CalibrationFields } from './shared-fields';

/** Model that is trained on a dataset. */
const proxyFields = group('Model', {
  model: path({
    description: `Model to train: ${proxyNames.join(', ')}, or an ONNX classifier`,
    default: proxyNames[0],
    placeholder: 'MODEL',
  }),
  tokenizer: path({
    description: 'Model whose tokenizer reads texts',
    fallback: "the ONNX file's own, or that of the sample model",
    placeholder: 'MODEL',
  }),
  maxTokens: integer({
    description: 'Maximum tokens per text',
    fallback: String(defaultMaxTokens),
    min: 1,
  }),
});

/** Model that is trained on a dataset, and training options. */
export const trainingFields = {
  ...proxyFields,
  ...group('Training', {
    batch: integer({
      description: 'Examples per step',
      default: defaultTraining.batchSize,
      min: 1,
    }),
    rate: number({
      description: 'Learning rate',
      default: defaultTraining.learningRate,
      above: 0,
    }),
    schedule: choice(schedules, {
      description: 'Learning rate over the steps; cosine ends at 0',
      default: defaultTraining.schedule,
      placeholder: 'SCHEDULE',
    }),
    momentum: number({
      description: "Nesterov's momentum",
      default: defaultTraining.momentum,
      min: 0,
      max: 1,
    }),
    weightDecay: number({
      description: 'Weight decay',
      default: defaultTraining.weightDecay,
      min: 0,
    }),
    threads: integer({
      description: 'Threads per step',
      fallback: `1 for ${proxyNames.join(', ')}, else one per core`,
      min: 1,
    }),
  }),
};

/** Factors that determine the duration of a pass over a dataset. */
export function passKind({
  data,
  model,
  tokenizer,
  maxTokens,
  batch,
  threads,
  workers,
}: RequestOf<typeof trainingFields> & {
  readonly data: string;
  readonly workers?: number;
}): readonly unknown[] {
  return [resolve(data), model, tokenizer, maxTokens, batch, threads, workers];
}

/** The model that a request trains. */
export function proxyRequest(
  { model, tokenizer, maxTokens }: RequestOf<typeof proxyFields>,
  { samples }: Environment,
): ProxyRequest {
  return {
    ...{ model, defaultTokenizer: defaultTokenizerIn(samples) },
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
}

export function trainingSettings({
  batch,
  rate,
  schedule,
  momentum,
  weightDecay,
  threads,
}: RequestOf<typeof trainingFields>): TrainingSettings {
  return {
    ...{ batchSize: batch, learningRate: rate, schedule, momentum, weightDecay },
    ...(threads === undefined ? {} : { threads }),
  };
}

/** Engine that runs a request's training runs on several workers. */
export function seedSharing(request: SharingRequest, environment: Environment): SeedSharing {
  const { version } = environment;
  const isChosen = request.workers !== undefined || request.queue !== undefined;
  return {
    ...(isChosen ? { engine: createEngine(request, environment) ?? localOnly } : {}),
    ...{ version, processes: (count) => new LocalEngine(workItemsBundle(environment), count) },
  };
}

/**
 * Fields for training data: like calibration, but with as many sequences as training needs,
 * independent of the setting for searches.
 */
export function learningFields(defaults: CalibrationRequest): CalibrationFields {
  const fields = calibrationFields(defaults);
  const { description, fallback, group } = fields.sequences;
  const own = integer({ description, fallback: `${fallback}, or all if there are fewer`, min: 1 });
  return { ...fields, sequences: { ...own, group } };
}

/** Calibration of a request for training; all available sequences if their number is not given. */
export function learningCalibration(
  request: RequestOf<CalibrationFields>,
  defaults: CalibrationRequest,
  maxPositions?: number,
): CalibrationRequest {
  return requestedCalibration(request, { ...defaults, upTo: true }, maxPositions);
}
