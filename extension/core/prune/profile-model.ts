import { createHash } from 'node:crypto';
import type { CalibrationRequest } from '../data/calibration';
import type { ModelInputs } from '../data/model-inputs';
import type { Engine } from '../distribute/work-item';
import type { JobContext } from '../jobs/job';
import { writeDocument } from '../jobs/write-document';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { requireMemory } from '../runtime/memory-shares';
import { describeOrigin } from '../runtime/origin';
import { listCandidates } from './candidates';
import { finishedSearch, SearchJournal } from './search-journal';
import type { SearchIdentity } from './search-journal';
import type {
  LayerProfile,
  ProfileEvaluation,
  ProfileEvent,
  Round,
  SurrogateRecord,
} from './layer-profile';
import { describeMetric, fittingMetric, metrics } from '../metrics/metrics';
import { loadSeveralTexts } from '../data/model-inputs';
import type { SearchSettings } from './options';
import type { ScorerSetup } from './scorer';
import { search } from './search';
import type { FinishedSearch, SearchResult } from './search';
import { shareSearch } from './shards/share-search';
import { planScreening, searchExecutors } from './screening-copy';
import { SearchProgress } from './search-progress';
import { typicalSpeedup } from './search-rates';
import type { SearchExecutors } from './search-rates';
import { SearchWork } from './search-work';
import { say } from '../message';
import type { Message } from '../message';

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
  /** Returns the seconds that `evaluate` takes, from those of a token of the original and of the pruned model. */
  readonly secondsAfter?: ((original: number, pruned: number) => number) | undefined;
}

/** Result of a search and its speed. */
export interface SearchedModel {
  readonly executor: LayeredExecutor;
  /** Removed ids, in order. */
  readonly removed: readonly string[];
  /** Seconds per token for all sublayers and the head of the model itself; infinite if nothing was run. */
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

/**
 * Profiles a model: measures how much its logits change when sublayers are removed, and finds the best removal order.
 * Resumes an earlier run of the same job.
 */
export async function profileModel(
  job: ProfileJob,
  environment: ProfileEnvironment,
  context: JobContext<ProfileEvent>,
): Promise<LayerProfile> {
  const { summary } = job.model.model;
  const inputs = await openInputs(job, environment, context);
  const { calibration, settings } = inputs;
  const known = {
    settings,
    modelFingerprint: summary.fingerprint,
    calibration: calibration.summary,
    version: environment.version,
  };
  const identity = identify(known, job.writable);
  const journal = await SearchJournal.open(job.journal, identity);
  const earlier = await finishedSearch(job.out, known);
  if (earlier !== undefined) {
    context.inform(
      say`The existing profile already contains this search. Only the refinement will run.`,
    );
  }
  try {
    context.emit({
      kind: 'started',
      model: summary,
      calibration: calibration.summary,
      settings,
      metricDefinition: describeMetric(settings.metric, job.model.model),
      device: inputs.executor.device,
      candidates: listCandidates(summary, settings.granularity).map(({ id }) => id),
    });
    const { found, secondsPerToken } = await runSearch(
      job,
      inputs,
      { journal, identity, earlier },
      context,
    );
    const spent = addSpent(found, journal.spentBefore, earlier?.search);
    const times = { spent, secondsPerToken };
    const profile = await describeProfile(job, inputs, found, times, environment.version);
    if (job.out !== undefined) {
      await writeDocument(job.out, profile);
    }
    await journal.remove();
    return profile;
  } finally {
    await journal.removeIfEmpty();
    await inputs.copy?.dispose();
    await inputs.executor.dispose();
  }
}

/** Texts, settings and executors of a search. */
interface SearchInputs extends SearchExecutors {
  readonly calibration: ModelInputs;
  /** Settings with the metric and arithmetic that are used. */
  readonly settings: SearchSettings;
}

/** @throws UserError if the inputs cannot be read, or the model needs more memory */
async function openInputs(
  job: ProfileJob,
  { bundledText }: ProfileEnvironment,
  context: JobContext<ProfileEvent>,
): Promise<SearchInputs> {
  const { model } = job.model;
  const { seed, metric } = job.settings;
  const warn = (message: Message): void => {
    context.warn(message);
  };
  const further = job.furtherCalibration ?? [];
  const calibration = await loadSeveralTexts(job.calibration, further, model, bundledText, seed);
  for (const warning of [...model.summary.warnings, ...calibration.warnings]) {
    warn(warning);
  }
  const device = await resolveDevice(job.device, warn);
  const { threads, memoryShare = 1 } = job.engine ?? {};
  const memoryBytes = job.memoryBytes * memoryShare;
  requireMemory(model, memoryBytes, device);
  const screening = await planScreening(model, job.settings, {
    ...{ device, memoryBytes },
    isShared: job.engine !== undefined,
  });
  const executors = searchExecutors(model, screening, { device, memoryBytes, threads });
  const settings: SearchSettings = {
    ...job.settings,
    metric: fittingMetric(model, metric, warn),
    arithmetic: executors.copy === undefined ? 'float32' : 'int8',
  };
  return { ...executors, calibration, settings };
}

/** State of earlier runs of a search. */
interface SearchState {
  readonly journal: SearchJournal;
  /** Key of the job. */
  readonly identity: string;
  readonly earlier: FinishedSearch | undefined;
}

/** Result of a search, and the measured seconds per token of the model; undefined if nothing was run. */
interface TimedSearch {
  readonly found: SearchResult;
  readonly secondsPerToken: number | undefined;
}

/** Runs the search in this process, or on the workers of the job's engine. */
async function runSearch(
  { model: opened, engine, memoryBytes, writable, secondsAfter }: ProfileJob,
  { executor, copy, calibration: { inputs, summary }, settings }: SearchInputs,
  { journal, identity, earlier }: SearchState,
  context: JobContext<ProfileEvent>,
): Promise<TimedSearch> {
  const { model } = opened;
  const work = new SearchWork(model);
  const progress = new SearchProgress(settings, model, work, summary, context, {
    ...{ executor, copy, isSearched: earlier !== undefined, secondsAfter },
  });
  const setup: ScorerSetup = {
    executor,
    copy,
    sequences: inputs,
    texts: summary.texts,
    metricName: settings.metric,
    metric: metrics[settings.metric],
    memo: journal.memo(work),
    work,
    cancellation: context.cancellation,
    isWritable: writable?.test,
    onWork: () => {
      progress.report();
    },
  };
  const searchWith = async (shared: ScorerSetup): Promise<SearchResult> =>
    search(settings, shared, progress, earlier);
  const found = await (engine === undefined
    ? searchWith(setup)
    : shareSearch(
        { engine, key: identity, model: opened, memoryBytes },
        setup,
        context,
        searchWith,
      ));
  return { found, secondsPerToken: progress.secondsPerToken };
}

/** Time and work of all runs of a search. */
type SearchSpent = Pick<LayerProfile['search'], 'seconds' | 'sublayerEvaluations'>;

const addSpent = (...runs: readonly (SearchSpent | undefined)[]): SearchSpent => ({
  seconds: runs.reduce((sum, run) => sum + (run?.seconds ?? 0), 0),
  sublayerEvaluations: runs.reduce((sum, run) => sum + (run?.sublayerEvaluations ?? 0), 0),
});

/** Describes a finished search, and evaluates its rounds. */
async function describeProfile(
  { model: { model }, evaluate }: ProfileJob,
  { executor, copy, calibration: { summary: calibration }, settings }: SearchInputs,
  found: SearchResult,
  times: { readonly spent: SearchSpent } & Pick<TimedSearch, 'secondsPerToken'>,
  version: string,
): Promise<LayerProfile> {
  const { summary } = model;
  const { refinement, stability } = found;
  const { seconds, sublayerEvaluations } = times.spent;
  const surrogate = surrogateRecord(refinement?.start ?? found.rounds);
  const tokensRun = (sublayerEvaluations * calibration.length) / summary.sublayers.length;
  // An earlier run measured the time of the model and its copy together.
  const earlierPerToken = (seconds / tokensRun) * (copy === undefined ? 1 : typicalSpeedup);
  const evaluations = await evaluate?.({
    executor,
    removed: found.rounds.map(({ removed }) => removed),
    secondsPerToken: times.secondsPerToken ?? earlierPerToken,
  });
  return {
    format: 'espalier.layerprofile',
    version: 1,
    model: summary,
    calibration,
    metric: settings.metric,
    metricDefinition: describeMetric(settings.metric, model),
    settings,
    search: {
      mode: settings.mode,
      device: executor.device,
      seconds,
      sublayerEvaluations: Math.round(sublayerEvaluations),
      naiveSublayerEvaluations: found.naiveSublayerEvaluations,
    },
    ...(refinement === undefined ? {} : { refinement }),
    ...(surrogate === undefined ? {} : { surrogate }),
    ...(stability === undefined ? {} : { stability }),
    candidates: found.candidates,
    rounds: found.rounds,
    baselines: found.baselines,
    cosineLocal: found.cosineLocal,
    evaluations: evaluations ?? [],
    ...describeOrigin(version),
  };
}

/** Key of a search. Excludes the device, so that a search may resume on another. */
function identify(
  { settings, modelFingerprint, calibration, version }: SearchIdentity,
  writable: WritableOnly | undefined,
): string {
  // The fingerprint alone doesn't determine the split into sequences.
  const { fingerprint, sequences, length } = calibration;
  const only = writable === undefined ? {} : { writable: writable.key };
  const text = { fingerprint, sequences, length };
  const parts = { settings, modelFingerprint, text, version, ...only };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
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
