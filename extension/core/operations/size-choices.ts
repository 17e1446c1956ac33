import {
  defaultCalibration,
  distillationCalibration,
  roundingCalibration,
  sensitivityCalibration,
} from '../data/calibration-defaults';
import type { JobContext } from '../jobs/job';
import type { Phase } from '../jobs/phases';
import type { ModelSummary } from '../models/model-summary';
import type { OpenedModel } from '../models/opened-model';
import { defaultRuntime, loadableBy, requireRuntime } from '../pipelines/runtimes';
import type { Runtime, runtimeNames } from '../pipelines/runtimes';
import { fitContext } from '../pipelines/fit-targets';
import type { AskedTargets } from '../pipelines/fit-targets';
import { requireDistillable } from '../pipelines/rounding/distill-model';
import {
  densePlaces,
  listSizes,
  mixMethods,
  namesType,
  quantizedType,
} from '../pipelines/size-choices';
import type { SizeChoice, SizeChoices } from '../pipelines/size-choices';
import {
  automaticMemory,
  availableProcessMemory,
  machineMemory,
} from '../runtime/limits/process-memory';
import { rememberedSeconds } from '../runtime/speed/work-rates';
import { fitsRows } from '../checkpoints/quantize/quantizers';
import { defaultRounds } from '../tensornet/budget/plan-for-budget';
import { defaultTokens } from '../evaluate/perplexity';
import { defaultDistillation } from '../tensornet/repair/repair-settings';
import { UserError } from '../user-error';
import { readLosses } from './measured-losses';
import type { MeasuredLoss } from './measured-losses';
import { sensitivityWork } from './measure-sensitivity';
import type { SensitivityRequest } from './measure-sensitivity';
import type { Environment } from './operation';
import type { Work } from './work';

/** A size with its estimated time, and its loss if it was made before. */
export interface OfferedSize extends SizeChoice {
  readonly seconds: number;
  /** Limit of that time by default, in seconds; absent if nothing is measured. */
  readonly longest?: number;
  readonly measured?: MeasuredLoss;
}

/** Sizes that are offered for a model. */
export interface OfferedSizes extends Omit<SizeChoices, 'choices'> {
  /** All runtimes that can load the model. */
  readonly runtimes: readonly Runtime[];
  readonly choices: readonly OfferedSize[];
}

/** Multiplications per second of two cores, by which phases are weighted before any of them has run. */
const multiplicationsPerSecond = 1.5e11;
/** Weights that are quantized per second. */
const weightsPerSecond = 1e7;
/** Times that measuring a mix quantizes each weight. */
const roundingsPerWeight = 5;
/** Passes over the calibration text that measuring a plan takes. */
const runsPerPlan = 4;

/** Phases of making a model smaller. */
export const fitPhases = ['measure', 'importance', 'plan', 'write', 'evaluate'] as const;
export type FitPhase = (typeof fitPhases)[number];

/** Requested runtime, or the first that can load the model. */
export async function chosenRuntime(
  opened: OpenedModel,
  asked: (typeof runtimeNames)[number] | undefined,
): Promise<Runtime> {
  if (asked !== undefined) {
    return requireRuntime(asked);
  }
  const preferred = defaultRuntime(opened);
  const able = await loadableBy(opened);
  return able.includes(preferred) ? preferred : (able[0] ?? preferred);
}

/** Request to measure sensitivity for a mix: all types, embedding and head included. */
export function mixRequest(
  model: OpenedModel,
  runtime: Runtime,
  request: Omit<SensitivityRequest, 'model' | 'seed' | 'methods'>,
): SensitivityRequest & { readonly embeddings: boolean; readonly head: boolean } {
  const places = densePlaces(model);
  return {
    ...request,
    ...{ model, methods: mixMethods(runtime), seed: 0 },
    embeddings: places.includes('embedding'),
    head: places.includes('head'),
  };
}

/** Longest time of a job by default: about 5 min for 135M parameters and 30 min for 1.5B. */
const defaultLimit = { seconds: 160, secondsPerBillion: 1040, step: 10 } as const;

/** Seconds that making the best mix of a model takes at most by default. */
export function defaultTimeLimit({ parameters }: Pick<ModelSummary, 'parameters'>): number {
  const { seconds, secondsPerBillion, step } = defaultLimit;
  return step * Math.round((seconds + (secondsPerBillion * parameters) / 1e9) / step);
}

/** Time limit for writing a named type: about 1 min for 135M parameters and 4 min for 1.5B. */
const typeLimit = { seconds: 42, secondsPerBillion: 125 } as const;

/** Runs of the calibration text that rounding with error feedback takes (bench/league). */
const runsPerFeedback = 6;

/** Runs of the calibration text that an epoch of distillation takes (bench/distill). */
const runsPerEpoch = 15;

/** Maximum share of a mix's time for error feedback. */
const mostForFeedback = 0.25;

/** Limits of time and memory for rounding a model. */
export interface RoundingLimits {
  readonly seconds?: number | undefined;
  readonly memoryBytes?: number | undefined;
}

/** True if a type stores weights in two or three bits, which distillation is for. */
export const hasFewBits = (type: string): boolean => /^I?Q[23]_/i.test(type);

/**
 * Rounding of a named type, from the best: with error feedback and then distilled, with error feedback, by an importance
 * matrix, or each weight alone.
 */
export type TypeRounding = 'distill' | 'feedback' | 'importance' | 'nearest';

/**
 * The best rounding that is expected to fit in the time for it. Only GGUF types below 8 bits and mixes of types, of models
 * that read text, have a choice. That of a mix is not distilled until its types are known.
 * @param size a named type; undefined for a mix
 * @param limits seconds and bytes; those of the defaults if absent
 */
export function typeRounding(
  model: OpenedModel,
  runtime: Runtime,
  size: string | undefined,
  { seconds, memoryBytes }: RoundingLimits = {},
): TypeRounding {
  const { capabilities, summary } = model;
  const { parameters } = summary;
  const isMix = size === undefined;
  const isRounded = runtime === 'llama.cpp' && (isMix || /^I?Q[2-6]/i.test(size));
  if (!isRounded || !capabilities.run.able || !capabilities.readText.able) {
    return 'nearest';
  }
  const most = isMix
    ? mostForFeedback * (seconds ?? defaultTimeLimit(summary))
    : (seconds ?? typeLimit.seconds + (typeLimit.secondsPerBillion * parameters) / 1e9);
  const isInTime = (rounding: TypeRounding): boolean =>
    roundingSeconds(model, runtime, rounding) <= most;
  if (!isMix && hasFewBits(size) && isInTime('distill') && isDistillable(model, memoryBytes)) {
    return 'distill';
  }
  if (isInTime('feedback')) {
    return 'feedback';
  }
  // The types of a mix are chosen by an importance matrix, so it is there.
  return isMix || isInTime('importance') ? 'importance' : 'nearest';
}

/** Expected seconds of rounding a model to a named type, and evaluating it. */
export function roundingSeconds(
  model: OpenedModel,
  runtime: Runtime,
  rounding: TypeRounding,
): number {
  const phases = expectedPhases(model, runtime, { isMix: false, rounding });
  return Object.values(phases).reduce((sum, { seconds }) => sum + seconds, 0);
}

/**
 * True if a model's weights are floats in rows that types of two and three bits can store, and it can be trained in the
 * memory.
 */
export function isDistillable(
  { model, summary }: Pick<OpenedModel, 'model' | 'summary'>,
  memoryBytes = Math.min(automaticMemory(), availableProcessMemory()),
): boolean {
  const { length } = distillationCalibration;
  if (!fitsRows('Q2_K', model.emitter?.hiddenSize ?? 1) || quantizedType(summary) !== undefined) {
    return false;
  }
  try {
    requireDistillable(
      model,
      Math.min(length, summary.maxPositions ?? length),
      defaultDistillation,
      memoryBytes,
    );
    return true;
  } catch (error) {
    if (error instanceof UserError) {
      return false;
    }
    throw error;
  }
}

/** Largest share of the time before writing that is kept for plans. */
const mostForPlans = 0.3;
/** Minimum share of the total time for measuring and planning. */
const leastForPlanning = 0.5;

/**
 * Expected seconds of each phase.
 * @param timeLimit seconds of the whole job; measuring and planning end early enough to write and evaluate the model
 */
export function expectedPhases(
  model: OpenedModel,
  runtime: Runtime,
  {
    isMix,
    timeLimit = Number.POSITIVE_INFINITY,
    rounding = 'nearest',
  }: {
    readonly isMix: boolean;
    readonly timeLimit?: number;
    readonly rounding?: TypeRounding;
  },
): Readonly<Record<FitPhase, Phase>> {
  const { parameters } = model.summary;
  const runs = (tokens: number): number => (tokens * parameters) / multiplicationsPerSecond;
  const hasImportance = (isMix && runtime === 'llama.cpp') || rounding === 'importance';
  const importance = hasImportance
    ? runs(defaultCalibration.sequences * defaultCalibration.length)
    : 0;
  const [feedbackTokens, distillationTokens] = [roundingCalibration, distillationCalibration].map(
    ({ sequences, length }) => sequences * length,
  ) as [number, number];
  const { epochs } = defaultDistillation;
  const rounded =
    rounding === 'distill'
      ? runs((runsPerFeedback + epochs * runsPerEpoch) * distillationTokens)
      : rounding === 'feedback'
        ? runs(runsPerFeedback * feedbackTokens)
        : 0;
  const write = 1 + parameters / weightsPerSecond + rounded;
  const evaluate = 1 + runs(2 * defaultTokens);
  const later = {
    importance: { seconds: importance },
    write: { seconds: write },
    evaluate: { seconds: evaluate },
  };
  if (!isMix) {
    return { measure: { seconds: 0 }, plan: { seconds: 0 }, ...later };
  }
  const { sequences, length } = sensitivityCalibration;
  const asked = mixRequest(model, runtime, { device: 'auto', memory: 'auto' });
  const measure =
    sensitivityWork(asked).amount / multiplicationsPerSecond +
    (roundingsPerWeight * parameters) / weightsPerSecond;
  const plan = runs((defaultRounds + 1) * runsPerPlan * sequences * length);
  const left = Math.max(timeLimit - importance - write - evaluate, leastForPlanning * timeLimit);
  const measureLimit = left - Math.min(plan, mostForPlans * left);
  const limited = (seconds: number, limit: number): Phase =>
    Number.isFinite(limit) ? { seconds: Math.min(seconds, limit), limit } : { seconds };
  return {
    measure: limited(measure, measureLimit),
    plan: limited(plan, left - measureLimit),
    ...later,
  };
}

/** Amount of work, so that the time of one run estimates that of the next. */
export function fitWork(
  model: OpenedModel,
  runtime: Runtime,
  size: string | undefined,
  limits: RoundingLimits = {},
): Work {
  const isMix = size === undefined || !namesType(size);
  const rounding = typeRounding(model, runtime, isMix ? undefined : size, limits);
  const timeLimit = limits.seconds ?? defaultTimeLimit(model.summary);
  const phases = expectedPhases(model, runtime, { isMix, timeLimit, rounding });
  return {
    kind: [runtime, isMix, rounding],
    amount: Object.values(phases).reduce((sum, { seconds }) => sum + seconds, 0),
    parameters: model.summary.parameters,
    ...(isMix ? { longest: timeLimit } : {}),
  };
}

/** Lists the sizes of a model with their times and losses. Runs no model. */
export async function offerSizes(
  model: OpenedModel,
  asked: { readonly for?: (typeof runtimeNames)[number] | undefined } & Pick<
    AskedTargets,
    'memoryAt'
  >,
  { costsFolder }: Pick<Environment, 'costsFolder'>,
  context: JobContext,
): Promise<OfferedSizes> {
  const runtime = await chosenRuntime(model, asked.for);
  const tokens = fitContext(model, asked);
  const sizes = await listSizes(
    model,
    runtime,
    machineMemory(),
    tokens,
    context,
    (type) => typeRounding(model, runtime, type) === 'importance',
  );
  const measured = await readLosses(model.summary.fingerprint);
  const choices: OfferedSize[] = [];
  for (const choice of sizes.choices) {
    const work = fitWork(model, runtime, choice.size);
    const { kind, amount, parameters = 1, longest = Number.POSITIVE_INFINITY } = work;
    const known = await rememberedSeconds(costsFolder, {
      kind: JSON.stringify(['fit', 'auto', 'auto', ...kind]),
      ...{ amount, parameters },
    });
    const loss = measured(runtime, choice.size);
    choices.push({
      ...choice,
      seconds: Math.min(known ?? amount, longest),
      ...(longest === Number.POSITIVE_INFINITY ? {} : { longest }),
      ...(loss === undefined ? {} : { measured: loss }),
    });
  }
  return { ...sizes, runtimes: await loadableBy(model), choices };
}
