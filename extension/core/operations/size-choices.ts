import { defaultCalibration, sensitivityCalibration } from '../data/calibration-defaults';
import type { JobContext } from '../jobs/job';
import type { Phase } from '../jobs/phases';
import type { OpenedModel } from '../models/opened-model';
import { defaultRuntime, loadableBy, requireRuntime } from '../pipelines/runtimes';
import type { Runtime, runtimeNames } from '../pipelines/runtimes';
import { densePlaces, listSizes, mixMethods, namesType } from '../pipelines/size-choices';
import type { SizeChoice, SizeChoices } from '../pipelines/size-choices';
import { machineMemory } from '../runtime/limits/process-memory';
import { rememberedSeconds } from '../runtime/speed/work-rates';
import { defaultRounds } from '../tensornet/budget/plan-for-budget';
import { defaultTokens } from '../evaluate/perplexity';
import { readLosses } from './measured-losses';
import type { MeasuredLoss } from './measured-losses';
import { sensitivityWork } from './measure-sensitivity';
import type { SensitivityRequest } from './measure-sensitivity';
import type { Environment } from './operation';
import type { Work } from './work';

/** A size with its estimated time, and its loss if it was made before. */
export interface OfferedSize extends SizeChoice {
  readonly seconds: number;
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
/** Runs of the calibration text that measuring a plan takes. */
const runsPerPlan = 4;

/** Phases of making a model smaller. */
export const fitPhases = ['measure', 'importance', 'plan', 'write', 'evaluate'] as const;
export type FitPhase = (typeof fitPhases)[number];

/** The runtime that is asked for, or the first that loads the model. */
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

/** Expected seconds of each phase. */
export function expectedPhases(
  model: OpenedModel,
  runtime: Runtime,
  { isMix, measureLimit }: { readonly isMix: boolean; readonly measureLimit?: number },
): Readonly<Record<FitPhase, Phase>> {
  const { parameters } = model.summary;
  const runs = (tokens: number): number => (tokens * parameters) / multiplicationsPerSecond;
  const { sequences, length } = sensitivityCalibration;
  const measure = isMix
    ? sensitivityWork(mixRequest(model, runtime, { device: 'auto', memory: 'auto' })).amount /
      multiplicationsPerSecond
    : 0;
  const roundings = isMix ? (5 * parameters) / weightsPerSecond : 0;
  const hasImportance = isMix && runtime === 'llama.cpp';
  return {
    measure: {
      seconds: Math.min(measure + roundings, measureLimit ?? Number.POSITIVE_INFINITY),
      ...(measureLimit === undefined ? {} : { limit: measureLimit }),
    },
    importance: {
      seconds: hasImportance ? runs(defaultCalibration.sequences * defaultCalibration.length) : 0,
    },
    plan: { seconds: isMix ? runs((defaultRounds + 1) * runsPerPlan * sequences * length) : 0 },
    write: { seconds: 1 + parameters / weightsPerSecond },
    evaluate: { seconds: 1 + runs(2 * defaultTokens) },
  };
}

/** Amount of work, so that the time of one run estimates that of the next. */
export function fitWork(model: OpenedModel, runtime: Runtime, size: string): Work {
  const isMix = !namesType(size);
  const phases = expectedPhases(model, runtime, { isMix });
  return {
    kind: [runtime, isMix],
    amount: Object.values(phases).reduce((sum, { seconds }) => sum + seconds, 0),
    parameters: model.summary.parameters,
  };
}

/** Lists the sizes of a model with their times and losses. Runs no model. */
export async function offerSizes(
  model: OpenedModel,
  asked: (typeof runtimeNames)[number] | undefined,
  { costsFolder }: Pick<Environment, 'costsFolder'>,
  context: JobContext,
): Promise<OfferedSizes> {
  const runtime = await chosenRuntime(model, asked);
  const sizes = await listSizes(model, runtime, machineMemory(), context);
  const measured = await readLosses(model.summary.fingerprint);
  const choices: OfferedSize[] = [];
  for (const choice of sizes.choices) {
    const { kind, amount, parameters = 1 } = fitWork(model, runtime, choice.size);
    const known = await rememberedSeconds(costsFolder, {
      kind: JSON.stringify(['fit', 'auto', 'auto', ...kind]),
      ...{ amount, parameters },
    });
    const loss = measured(runtime, choice.size);
    choices.push({
      ...choice,
      seconds: known ?? amount,
      ...(loss === undefined ? {} : { measured: loss }),
    });
  }
  return { ...sizes, runtimes: await loadableBy(model), choices };
}
