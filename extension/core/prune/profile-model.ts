import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { CalibrationRequest, CalibrationSummary } from '../data/calibration';
import type { Engine } from '../distribute/work-item';
import type { JobContext } from '../jobs/job';
import { Journal, totalSpent, spentSchema } from '../jobs/journal';
import { writeDocument } from '../jobs/write-document';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { requireMemory } from '../runtime/memory-shares';
import { describeOrigin } from '../runtime/origin';
import { listCandidates } from './candidates';
import { finishedSearch } from './refinement/finished-search';
import type {
  LayerProfile,
  ProfileEvaluation,
  ProfileEvent,
  Round,
  SurrogateRecord,
} from './layer-profile';
import { describeMetric, fittingMetric, metrics } from '../metrics/metrics';
import { vocabularies } from '../metrics/vocabulary-sums';
import { loadSeveralTexts } from '../data/model-inputs';
import type { SearchSettings } from './options';
import type { ScorerSetup } from './scorer';
import { baselineStep, search } from './search';
import type { SearchResult } from './search';
import { shareSearch } from './shards/share-search';
import { planScreening, searchExecutors } from './screening-copy';
import { SearchProgress } from './search-progress';
import { SearchWork } from './search-work';
import { SearchMemo } from './search-memo';
import type { SearchRecord } from './search-memo';
import { say } from '../message';

/** Model, settings and output of a profile. */
export interface ProfileJob {
  readonly model: OpenedModel;
  readonly calibration: CalibrationRequest;
  /** Further texts; sequences alternate between all texts. */
  readonly furtherCalibration?: readonly string[] | undefined;
  readonly settings: SearchSettings;
  readonly device: DeviceChoice;
  /** Memory limit for sessions and cached states, in bytes. */
  readonly memoryBytes: number;
  /** Path for the profile, or undefined to only return it. */
  readonly out: string | undefined;
  /** Path of the journal, from which a stopped run resumes. */
  readonly journal: string;
  readonly writable?: WritableOnly | undefined;
  /** Engine for workers; undefined to run in this process. */
  readonly engine?: Engine | undefined;
  /** Evaluates the pruned model before the profile is written. */
  readonly evaluate?: EvaluateRounds | undefined;
  /** Returns the seconds that `evaluate` takes, from those of a token. */
  readonly secondsAfter?: ((secondsPerToken: number) => number) | undefined;
}

/** Maximum speedup of an int8 copy over float32, used to estimate the float32 time after a search on a copy. */
const maxSpeedup = 4;

/** Result of a search and its speed. */
export interface SearchedModel {
  readonly executor: LayeredExecutor;
  /** Removed ids, in order. */
  readonly removed: readonly string[];
  /** Seconds per token for all sublayers during the search; infinite if nothing was run. */
  readonly secondsPerToken: number;
}

export type EvaluateRounds = (searched: SearchedModel) => Promise<readonly ProfileEvaluation[]>;

/** Restricts a search to results that can be written. */
export interface WritableOnly {
  /** Name of the output format. */
  readonly key: string;
  /** True if the model without these units can be written. */
  readonly test: (ids: readonly string[]) => Promise<boolean>;
}

/** Environment of the program that runs the job. */
export interface ProfileEnvironment {
  /** Path of the bundled calibration text. */
  readonly bundledText: string;
  readonly version: string;
}

/** Sum or distance. JSON stores numbers that are not finite as null. */
const measured = v.pipe(
  v.nullable(v.number()),
  v.transform((value) => value ?? Number.NaN),
);
const entrySchema = v.variant('kind', [
  v.object({
    kind: v.literal('term'),
    step: v.string(),
    candidate: v.string(),
    vocabulary: v.picklist(vocabularies),
    sequence: v.number(),
    from: v.number(),
    to: v.number(),
    terms: v.pipe(v.array(measured), v.readonly()),
  }),
  v.object({
    kind: v.literal('prediction'),
    step: v.string(),
    distances: v.pipe(
      v.array(v.object({ candidate: v.string(), distance: measured })),
      v.readonly(),
    ),
  }),
  spentSchema,
]);
type Entry = v.InferOutput<typeof entrySchema>;

/**
 * Profiles a model: measures how much its logits change when sublayers are removed, and finds the best removal order.
 * Resumes an earlier run of the same job.
 */
export async function profileModel(
  job: ProfileJob,
  environment: ProfileEnvironment,
  context: JobContext<ProfileEvent>,
): Promise<LayerProfile> {
  const { model } = job.model;
  const calibration = await loadSeveralTexts(
    job.calibration,
    job.furtherCalibration ?? [],
    model,
    environment.bundledText,
    job.settings.seed,
  );
  for (const warning of [...model.summary.warnings, ...calibration.warnings]) {
    context.warn(warning);
  }
  const device = await resolveDevice(job.device, (message) => {
    context.warn(message);
  });
  const { threads, memoryShare = 1 } = job.engine ?? {};
  const memoryBytes = job.memoryBytes * memoryShare;
  requireMemory(model, memoryBytes, device);
  const screening = await planScreening(model, job.settings, {
    ...{ device, memoryBytes },
    isShared: job.engine !== undefined,
  });
  const { executor, copy } = searchExecutors(model, screening, { device, memoryBytes, threads });
  const metricName = fittingMetric(model, job.settings.metric, (message) => {
    context.warn(message);
  });
  const settings: SearchSettings = {
    ...job.settings,
    metric: metricName,
    arithmetic: copy === undefined ? 'float32' : 'int8',
  };
  const metric = metrics[metricName];
  const identity = identify(
    { ...job, settings },
    model.summary.fingerprint,
    calibration.summary,
    environment.version,
  );
  const journal = await Journal.open(job.journal, identity, parseEntry);
  const earlier = await finishedSearch(job.out, {
    settings,
    modelFingerprint: model.summary.fingerprint,
    calibration: calibration.summary,
    version: environment.version,
  });
  if (earlier !== undefined) {
    context.inform(
      say`The existing profile already contains this search. Only the refinement will run.`,
    );
  }
  const spentHere = totalSpent(journal.replayed);
  const spentBefore = {
    seconds: spentHere.seconds + (earlier?.search.seconds ?? 0),
    evaluations: spentHere.evaluations + (earlier?.search.sublayerEvaluations ?? 0),
  };
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  try {
    context.emit({
      kind: 'started',
      model: model.summary,
      calibration: calibration.summary,
      settings,
      metricDefinition: describeMetric(metricName, model),
      device,
      candidates: listCandidates(model.summary, settings.granularity).map(({ id }) => id),
    });
    const work = new SearchWork(model);
    const memo = new SearchMemo(selectRecords(journal.replayed), async (records) => {
      const searchRecords = records.some(({ step }) => !step.startsWith(baselineStep));
      const { evaluations } = work;
      const spent: Entry[] = searchRecords
        ? [{ kind: 'spent', seconds: seconds(), evaluations, run: spentHere.runs }]
        : [];
      await journal.append([...records, ...spent]);
    });
    const { secondsAfter } = job;
    const { sublayers } = model.summary;
    const perToken = (sublayers.length + work.readoutCost(1, 'whole')) / calibration.summary.length;
    const progress = new SearchProgress(settings, model, work, calibration.summary, context, {
      ...{ executor, copy, isSearched: earlier !== undefined },
      secondsAfter: secondsAfter && ((perEvaluation) => secondsAfter(perEvaluation * perToken)),
    });
    const setup: ScorerSetup = {
      executor,
      copy,
      sequences: calibration.inputs,
      texts: calibration.summary.texts,
      metricName: settings.metric,
      metric,
      memo,
      work,
      cancellation: context.cancellation,
      isWritable: job.writable?.test,
      onWork: () => {
        progress.report();
      },
    };
    const searchWith = async (shared: ScorerSetup): Promise<SearchResult> =>
      search(settings, shared, progress, earlier);
    const found = await (job.engine === undefined
      ? searchWith(setup)
      : shareSearch(
          { engine: job.engine, key: identity, model: job.model, memoryBytes: job.memoryBytes },
          setup,
          context,
          searchWith,
        ));
    const { refinement } = found;
    const surrogate = surrogateRecord(refinement?.start ?? found.rounds);
    const searchSeconds = spentBefore.seconds + found.seconds;
    const sublayerEvaluations = spentBefore.evaluations + found.sublayerEvaluations;
    const tokensRun =
      (sublayerEvaluations * calibration.summary.length) / model.summary.sublayers.length;
    const evaluations = await job.evaluate?.({
      executor,
      removed: found.rounds.map(({ removed }) => removed),
      secondsPerToken: (searchSeconds / tokensRun) * (copy === undefined ? 1 : maxSpeedup),
    });
    const profile: LayerProfile = {
      format: 'espalier.layerprofile',
      version: 1,
      model: model.summary,
      calibration: calibration.summary,
      metric: settings.metric,
      metricDefinition: describeMetric(metricName, model),
      settings,
      search: {
        mode: settings.mode,
        device,
        seconds: searchSeconds,
        sublayerEvaluations: Math.round(sublayerEvaluations),
        naiveSublayerEvaluations: found.naiveSublayerEvaluations,
      },
      ...(refinement === undefined ? {} : { refinement }),
      ...(surrogate === undefined ? {} : { surrogate }),
      ...(found.stability === undefined ? {} : { stability: found.stability }),
      candidates: found.candidates,
      rounds: found.rounds,
      baselines: found.baselines,
      cosineLocal: found.cosineLocal,
      evaluations: evaluations ?? [],
      ...describeOrigin(environment.version),
    };
    if (job.out !== undefined) {
      await writeDocument(job.out, profile);
    }
    await journal.remove();
    return profile;
  } finally {
    await journal.removeIfEmpty();
    await copy?.dispose();
    await executor.dispose();
  }
}

function identify(
  job: ProfileJob,
  modelFingerprint: string,
  calibration: CalibrationSummary,
  version: string,
): string {
  // Excludes the device, so that a search may resume on another. The fingerprint alone doesn't determine the split into
  // sequences.
  const { settings, writable } = job;
  const { fingerprint, sequences, length } = calibration;
  const only = writable === undefined ? {} : { writable: writable.key };
  const text = { fingerprint, sequences, length };
  const parts = { settings, modelFingerprint, text, version, ...only };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function parseEntry(value: unknown): Entry | undefined {
  const result = v.safeParse(entrySchema, value);
  return result.success ? result.output : undefined;
}

function selectRecords(entries: readonly Entry[]): SearchRecord[] {
  return entries.filter((entry) => entry.kind !== 'spent');
}

/** Accuracy of a search's surrogate; undefined if it proposed nothing. */
export function surrogateRecord(rounds: readonly Round[]): SurrogateRecord | undefined {
  const proposed = rounds.flatMap(({ distance, decision }) =>
    decision?.expected === undefined
      ? []
      : [
          {
            place: decision.expected.place,
            logError: Math.abs(Math.log(decision.expected.distance / distance)),
          },
        ],
  );
  if (proposed.length === 0) {
    return undefined;
  }
  // log(0) is not finite.
  const logErrors = proposed.map(({ logError }) => logError).filter(Number.isFinite);
  return {
    rounds: proposed.length,
    first: proposed.filter(({ place }) => place === 1).length,
    amongFour: proposed.filter(({ place }) => place <= 4).length,
    ...(logErrors.length === 0 ? {} : { meanLogError: average(logErrors) }),
  };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
