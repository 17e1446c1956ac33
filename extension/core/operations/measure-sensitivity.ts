import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeWorkFolder } from '../jobs/work-folder';
import type { CalibrationRequest } from '../data/calibration';
import { sensitivityCalibration } from '../data/calibration-defaults';
import { measureRunTimes } from '../generate/run-times';
import { findGgufChanges } from '../pipelines/gguf-changes';
import { ggufFacts } from '../pipelines/gguf-facts';
import { requireAble } from '../models/capability';
import type { OpenedModel } from '../models/opened-model';
import { defaultSettings } from '../prune/options';
import { resolveDevice } from '../runtime/devices';
import { encodingNames, parseCompression } from '../tensornet/compression-choice';
import { layerCosts, widthCosts } from '../tensornet/sensitivity/expected-cost';
import { chosenLayers, chosenEmbeddingAndHead } from '../tensornet/sensitivity/chosen-matrices';
import { profileSensitivity } from '../tensornet/sensitivity/profile-sensitivity';
import type {
  GgufFacts,
  RunTimes,
  SensitivityEvent,
  SensitivityProfile,
  SensitivitySettings,
} from '../tensornet/sensitivity/sensitivity-profile';
import { runVariants } from '../tensornet/sensitivity/run-variants';
import type { VariantSetup } from '../tensornet/sensitivity/run-variants';
import { chosenWidths } from '../tensornet/sensitivity/width-sensitivity';
import { group, list, number } from './fields';
import type { RequestOf } from './fields';
import { operationJournal, ownFolder } from './journals';
import { selectedBlocks, getEmbeddingAndHead } from './layer-fields';
import type { layerFields } from './layer-fields';
import type { OperationContext } from './operation';
import { searchFields } from './search-fields';
import { requestedCalibration, runOptions } from './shared-fields';
import type { CalibrationFields, runFields } from './shared-fields';
import type { Work } from './work';
import { createEngine } from './sharing';
import type { SharingRequest } from './sharing';
import { say } from '../message';
import { availableParallelism } from 'node:os';
import type { LayeredModel } from '../models/layered-model';
import type { DeviceName } from '../runtime/device';
import { leastMemory } from '../runtime/memory-shares';
import { gramBytes, gramRoom } from '../tensornet/statistics/fitting-memory';

export const sensitivityJournal = operationJournal('sensitivity');

/** Default relative standard error. Compression methods differ by far more than this. */
const defaultPrecision = 0.3;

/** Description of `methods` if GGUF files can't be written. */
export const methodsToTry =
  'Methods to try, each at its default settings or at one, such as int4:32 or lowrank:50%';

/** Changes tried on every layer, and the measurement of their effect. */
export const trialFields = group('Sensitivity', {
  methods: list({
    description: `${methodsToTry}; gguf tries types of GGUF files`,
    default: encodingNames,
    placeholder: 'METHOD,…',
  }),
  widths: list({
    description:
      'Width pruning to try: remaining shares of MLP channels, key/value heads and experts, such as 75%,50%',
    form: { pattern: /^\d{1,2}(\.\d+)?%$/, takes: say`percentages below 100, such as 75%,50%` },
    fallback: 'none',
    placeholder: 'PERCENT,…',
  }),
  metric: searchFields.metric,
  precision: number({
    description:
      'Measure on part of the text, and interpolate between settings, until the standard error is this share of the distance; 0 measures everything',
    default: defaultPrecision,
    min: 0,
    max: 1,
  }),
});

export type SensitivityRequest = Partial<RequestOf<typeof trialFields>> &
  Partial<RequestOf<typeof layerFields>> &
  RequestOf<CalibrationFields> &
  RequestOf<typeof runFields> &
  SharingRequest & {
    readonly model: OpenedModel;
    readonly seed: number;
    /** Time by `performance.now()` after which nothing else is measured. */
    readonly deadline?: number;
  };

/** Work of measuring sensitivity, by methods, precision and text. */
export function sensitivityWork(request: SensitivityRequest): Work {
  const { model, summary } = request.model;
  const settings = sensitivitySettings(request);
  const { compressions, metric, precision, embeddingAndHead = [], widths = [] } = settings;
  const { sequences, length } = calibrationText(request);
  const trials = { compressions, precision, tokens: sequences * length };
  const costs = [
    ...layerCosts(model, chosenLayers(model, settings), trials).values(),
    ...widthCosts(model, chosenWidths(model, settings), trials).values(),
  ];
  return {
    kind: [
      compressions,
      metric,
      precision,
      embeddingAndHead,
      widths,
      sequences,
      length,
      request.workers,
    ],
    amount: costs.reduce((sum, one) => sum + one, 0),
    parameters: summary.parameters,
  };
}

function calibrationText(request: SensitivityRequest): CalibrationRequest {
  const { maxPositions } = request.model.summary;
  return requestedCalibration(request, sensitivityCalibration, maxPositions, request.metric);
}

function sensitivitySettings(request: SensitivityRequest): SensitivitySettings {
  const { seed, roles = [], widths = [] } = request;
  // If matrices keep their encodings, widths can still be measured.
  const keepsEncodings = widths.length > 0 && !request.model.capabilities.compress.able;
  const { methods = keepsEncodings ? [] : encodingNames } = request;
  const { metric = defaultSettings.metric, precision = defaultPrecision } = request;
  const embeddingAndHead = getEmbeddingAndHead(request);
  return {
    compressions: methods.map((text) => parseCompression(text, 'methods')),
    ...{ metric, roles, blocks: selectedBlocks(request) ?? [], precision, seed },
    ...(embeddingAndHead.length === 0 ? {} : { embeddingAndHead }),
    ...(widths.length === 0 ? {} : { widths: widths.map((text) => Number.parseFloat(text) / 100) }),
  };
}

async function ggufFactsFor(
  model: OpenedModel,
  settings: SensitivitySettings,
  memoryBytes: number,
  context: OperationContext<SensitivityEvent>,
): Promise<GgufFacts> {
  requireAble(model.capabilities.run, model.path);
  const embeddingAndHead = chosenEmbeddingAndHead(model.model, settings).map(
    ({ matrix }) => matrix,
  );
  const matrices = [...chosenLayers(model.model, settings), ...embeddingAndHead];
  return {
    ...(await ggufFacts(model, matrices, memoryBytes, context)),
    ...(await findGgufChanges(model)),
  };
}

/** Times full models with changed encodings, in a temporary folder. */
async function timeVariants(
  setup: VariantSetup,
  context: OperationContext<SensitivityEvent>,
): Promise<RunTimes | undefined> {
  const { folder } = setup;
  await makeWorkFolder(folder);
  try {
    return await measureRunTimes(
      setup.opened.model,
      runVariants(setup),
      // The plans that follow are timed for longer.
      { ...setup, enough: 500 },
      context,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Measures the distance of compressing each linear layer alone, with defaults that depend on the model.
 * @param out path of the profile; undefined to only return it
 * @param keepsJournal true to keep measurements for a later run, until the caller removes the journal
 */
export async function measureSensitivity(
  request: SensitivityRequest,
  out: string | undefined,
  context: OperationContext<SensitivityEvent>,
  keepsJournal = false,
): Promise<SensitivityProfile> {
  const { model } = request;
  const settings = sensitivitySettings(request);
  const { compressions } = settings;
  if (compressions.some(({ method }) => method !== 'gguf')) {
    requireAble(model.capabilities.compress, model.path);
  }
  const { samples, version, costsFolder } = context.environment;
  const journal = await sensitivityJournal.prepare(out, model.path);
  const { device, memoryBytes } = runOptions(request);
  // Errors about the device are reported by the profile itself.
  const where = { device: await resolveDevice(device, () => undefined), memoryBytes };
  const { workers = payingProcesses(model.model, sensitivityWork(request).amount, where) } =
    request;
  const gguf = compressions.some(({ method }) => method === 'gguf')
    ? await ggufFactsFor(model, settings, memoryBytes, context)
    : undefined;
  // llama.cpp runs GGUF files, so times measured here don't apply.
  const isTimed = gguf === undefined && model.capabilities.generate.able;
  return profileSensitivity(
    {
      ...{ model, gguf },
      timeRuns: isTimed
        ? async () => {
            const folder = await ownFolder(journal, 'times');
            return timeVariants({ opened: model, settings, ...where, folder }, context);
          }
        : undefined,
      calibration: calibrationText(request),
      settings,
      ...runOptions(request),
      out,
      journal,
      ...(out === undefined ? { folder: await ownFolder(journal, 'forms') } : {}),
      keepsJournal,
      engine: createEngine({ ...request, workers }, context.environment),
      deadline: request.deadline,
    },
    { bundledText: join(samples, 'calibration.txt'), version, costsFolder },
    context,
  );
}

/** Multiplications that take about a minute on two cores. */
const leastWork = 1e13;
/** Each runs all of the text to fit to through the model. */
const mostProcesses = 4;
/** Minimum memory per process, as a multiple of the memory to run the model. */
const memoryPerProcess = 2;

/**
 * Number of processes on this machine that save time in a sensitivity profile: decomposing and rounding matrices keep one core
 * of each busy. A device other than the CPU serves one process at a time.
 * @param work multiplications, as expected
 */
export function payingProcesses(
  model: LayeredModel,
  work: number,
  { device, memoryBytes }: { readonly device: DeviceName; readonly memoryBytes: number },
  cores = availableParallelism(),
): number {
  if (device !== 'cpu' || work < leastWork) {
    return 1;
  }
  const each =
    memoryPerProcess * leastMemory(model, device) + gramBytes(model, gramRoom(memoryBytes));
  const byMemory = Math.floor(memoryBytes / each);
  return Math.max(1, Math.min(cores, mostProcesses, byMemory));
}
