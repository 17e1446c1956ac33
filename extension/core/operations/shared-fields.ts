import { join } from 'node:path';
import type { CalibrationRequest } from '../data/calibration';
import { defaultTextPolicy, textPolicies } from '../data/text-scores';
import type { TextPolicy } from '../data/text-scores';
import type { PlanApplication } from '../pipelines/apply-plan';
import type { RoundingCalibration } from '../pipelines/compression/start-calibration';
import { readImportance } from '../export/gguf/importance';
import { typeMixNames } from '../export/gguf/type-mixes';
import { layoutNames } from '../export/hugging-face/layouts';
import { outputFormatNames } from '../export/output-formats';
import type { DeviceChoice } from '../runtime/device';
import { deviceNames } from '../runtime/device';
import { automatic, parseMemorySize } from '../runtime/memory-size';
import { automaticMemory, availableProcessMemory } from '../runtime/limits/process-memory';
import {
  answersCalibration,
  distillationCalibration,
  orDefaults,
  roundingCalibration,
} from '../data/calibration-defaults';
import { defaultDistillation } from '../tensornet/repair/repair-settings';
import { asksAnswers } from '../metrics/metrics';
import type { MetricName } from '../metrics/metrics';
import { choice, document, flag, group, integer, path, paths, size } from './fields';
import type { Field, RequestOf } from './fields';
import type { OpenedModel } from '../models/opened-model';
import type { Environment } from './operation';
import { excludes, needs } from './rules';
import type { Rule } from './rules';
import type { Work } from './work';
import { say } from '../message';
import { UserError } from '../user-error';

const modelFacts = {
  description: 'Model folder or any of its files: .safetensors, .gguf, .onnx',
  placeholder: 'MODEL',
  positional: true,
} as const;

/** Model field of operations that may take the model from another field. */
export const optionalModelField = path(modelFacts);

export const modelField = path({
  ...modelFacts,
  required: true,
  missing: say`Specify one model: its folder, or its .safetensors, .gguf or .onnx file.`,
});

export const runFields = group('Running', {
  device: choice(['auto', ...deviceNames], {
    description: 'Device to run on; auto selects the fastest that works',
    default: 'auto',
    placeholder: 'DEVICE',
    setting: 'device',
  }),
  memory: size({
    description:
      'Memory limit of the job; auto is 60 % of the memory that is available at the start',
    default: automatic,
    setting: 'memory',
  }),
});

/** Device and memory limit of a run, at most what the system allows. */
export function runOptions({ device, memory }: RequestOf<typeof runFields>): {
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
} {
  const bytes = memory === automatic ? automaticMemory() : parseMemorySize(memory);
  return { device, memoryBytes: Math.min(bytes ?? 0, availableProcessMemory()) };
}

export type CalibrationFields = Readonly<
  Record<'calibration' | 'calibrationScores', Field<string, false>> &
    Record<'sequences' | 'length', Field<number, false>> &
    Record<'calibrationPolicy', Field<TextPolicy, false>>
>;

export const calibrationNames = [
  'calibration',
  'sequences',
  'length',
  'calibrationScores',
  'calibrationPolicy',
] as const satisfies readonly (keyof CalibrationFields)[];

/** Description of the default text. */
export const sampleText = 'the text that comes with Espalier';

/** @param use what the result says of the texts */
export const furtherCalibration = (
  use: string,
): { readonly furtherCalibration: Field<readonly string[], false> } =>
  group('Calibration', {
    furtherCalibration: paths({
      description: `Further calibration texts that share the sequences; ${use}`,
      setting: 'calibration.further',
    }),
  });

/** @param defaults shown in help; {@link requestedCalibration} fills them in */
export const calibrationFields = ({ sequences, length }: CalibrationRequest): CalibrationFields =>
  group('Calibration', {
    calibration: path({
      description: 'Calibration text (.txt, .md, .jsonl), examples (.npz, folder), or "random"',
      fallback: sampleText,
      setting: 'calibration.file',
    }),
    sequences: integer({
      description: 'Number of sequences',
      fallback: String(sequences),
      min: 1,
      setting: 'calibration.sequences',
    }),
    length: integer({
      description: "Length of a sequence, at most the model's context",
      fallback: String(length),
      placeholder: 'L',
      unit: 'tokens',
      min: 1,
      setting: 'calibration.length',
    }),
    calibrationScores: document('textScores', {
      description: 'Choose sequences by the scores of a *.textscores.json',
      setting: 'calibration.scores',
    }),
    calibrationPolicy: choice(textPolicies, {
      description: 'Policy for selecting scored sequences',
      fallback: defaultTextPolicy,
      placeholder: 'POLICY',
      setting: 'calibration.policy',
    }),
  });

export const calibrationRules: readonly Rule[] = [
  needs('calibrationPolicy', 'calibrationScores'),
  // Scored windows have a fixed length.
  excludes('calibrationScores', 'length'),
];

/**
 * Calibration of a request, with defaults for missing fields. Sequences are no longer than the model can read, unless
 * their length is given. Metrics of answers use a task.
 */
export function requestedCalibration(
  request: RequestOf<CalibrationFields>,
  defaults: CalibrationRequest,
  maxPositions = Number.POSITIVE_INFINITY,
  metric?: MetricName,
): CalibrationRequest {
  const defaultCalibration = asksAnswers(metric) ? answersCalibration : defaults;
  const { calibration: file, calibrationScores: scores, sequences, length } = request;
  const policy = request.calibrationPolicy ?? defaultTextPolicy;
  return orDefaults(
    {
      ...(file === undefined ? {} : { file }),
      ...(scores === undefined ? {} : { scores: { file: scores, policy } }),
      ...(sequences === undefined ? {} : { sequences }),
      ...(length === undefined ? {} : { length }),
      ...(asksAnswers(metric) ? { answers: true } : {}),
    },
    { ...defaultCalibration, length: Math.min(defaultCalibration.length, maxPositions) },
  );
}

/** Output path and format of a changed model. */
export const outputFields = group('Output', {
  out: path({ description: 'New folder to write', placeholder: 'DIR', required: true }),
  format: choice(outputFormatNames, {
    description: 'Format of the new model',
    fallback: "the model's own",
    placeholder: 'FORMAT',
  }),
  layout: choice(layoutNames, {
    description: 'Layout of a pruned Hugging Face folder',
    fallback: 'the first that supports the changes',
    placeholder: 'LAYOUT',
  }),
  overwrite: flag({
    description: 'Replace a folder that contains only files written by Espalier',
    default: false,
  }),
});

/** Quantization types of the tensors of a GGUF file. */
export const typeFields = group('Output', {
  type: choice(typeMixNames, {
    description: 'Quantization type of the GGUF file, as in llama.cpp',
    fallback: 'as stored',
    placeholder: 'TYPE',
  }),
  imatrix: path({ description: 'Importance matrix (.gguf) that weights rounding errors' }),
  rounding: choice(['nearest', 'importance', 'feedback', 'distill'], {
    description:
      'Rounding of weights: nearest; importance, weighted by --imatrix; feedback, with error feedback on calibration text (more accurate, slower); distill, then also trained to match the logits of the original, for two and three bits',
    fallback: 'importance with --imatrix, else nearest',
    placeholder: 'METHOD',
  }),
});

/** Quantization types of a request, and the rounding of weights to them. */
export async function typeOptions(
  request: RequestOf<typeof typeFields> & Partial<RequestOf<CalibrationFields>>,
  model: Pick<OpenedModel, 'summary'>,
  environment: Pick<Environment, 'samples'>,
): Promise<Pick<PlanApplication, 'types' | 'feedback'>> {
  const { type: mix, imatrix, rounding } = request;
  requireRounding(request);
  return {
    ...(mix === undefined && imatrix === undefined
      ? {}
      : {
          types: {
            ...(mix === undefined ? {} : { mix }),
            ...(imatrix === undefined ? {} : { importance: await readImportance(imatrix) }),
          },
        }),
    ...(isCalibrated(rounding)
      ? { feedback: calibratedRounding(request, rounding, model, environment) }
      : {}),
  };
}

type Rounding = RequestOf<typeof typeFields>['rounding'];
type CalibratedRounding = 'feedback' | 'distill';

/** True if rounding reads calibration text. */
export const isCalibrated = (rounding: Rounding): rounding is CalibratedRounding =>
  rounding === 'feedback' || rounding === 'distill';

/** Settings of rounding that reads calibration text. */
export const calibratedRounding = (
  request: Partial<RequestOf<CalibrationFields>>,
  rounding: CalibratedRounding,
  { summary: { maxPositions } }: Pick<OpenedModel, 'summary'>,
  { samples }: Pick<Environment, 'samples'>,
): RoundingCalibration => ({
  request: requestedCalibration(
    request,
    rounding === 'distill' ? distillationCalibration : roundingCalibration,
    maxPositions,
  ),
  bundledText: join(samples, 'calibration.txt'),
  ...(rounding === 'distill' ? { distillation: defaultDistillation } : {}),
});

/** Work of distillation; undefined for other rounding, which takes no longer than a few runs. */
export function distillationWork(
  request: RequestOf<typeof typeFields> & Partial<RequestOf<CalibrationFields>>,
  { summary: { maxPositions, parameters } }: Pick<OpenedModel, 'summary'>,
): Work | undefined {
  if (request.rounding !== 'distill') {
    return undefined;
  }
  const { sequences, length } = requestedCalibration(
    request,
    distillationCalibration,
    maxPositions,
  );
  const { epochs, batch } = defaultDistillation;
  return {
    kind: ['distill', batch],
    amount: epochs * sequences * length * parameters,
    parameters,
  };
}

/** @throws UserError if an importance matrix is given but has no effect, or is needed but not given */
function requireRounding({ imatrix, rounding }: RequestOf<typeof typeFields>): void {
  if (rounding === 'importance' && imatrix === undefined) {
    throw new UserError(
      'importance-missing',
      say`Rounding by importance needs an importance matrix.`,
      { field: 'rounding', remedy: say`Add --imatrix; espalier imatrix measures one.` },
    );
  }
  if (rounding === 'nearest' && imatrix !== undefined) {
    throw new UserError(
      'flags-conflict',
      say`Rounding to nearest uses no importance matrix, but --imatrix is set.`,
      { field: 'rounding', remedy: say`Remove one of them.` },
    );
  }
}

/** Writer options from the output fields. */
export function outputOptions({
  out,
  format,
  layout,
  overwrite,
}: RequestOf<typeof outputFields>): Pick<
  PlanApplication,
  'out' | 'overwrite' | 'format' | 'layout'
> {
  return {
    out,
    overwrite,
    ...(format === undefined ? {} : { format }),
    ...(layout === undefined ? {} : { layout }),
  };
}
