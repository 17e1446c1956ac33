import { createHash } from 'node:crypto';
import type { CalibrationRequest } from '../../data/calibration';
import type { Engine } from '../../distribute/work-item';
import { localOnly } from '../../distribute/with-workers';
import { RemainingParts } from '../../jobs/time-left';
import { CancelledError } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { writeDocument } from '../../jobs/write-document';
import { describeMetric, metrics, fittingMetric } from '../../metrics/metrics';
import type { MetricName } from '../../metrics/metrics';
import type { LayeredModel } from '../../models/layered-model';
import type { OpenedModel } from '../../models/opened-model';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { describeOrigin } from '../../runtime/origin';
import type { Origin } from '../../runtime/origin';
import { formatCompression } from '../compression-choice';
import { costsInFolder } from '../costs/machine-costs';
import { loadProfileInputs } from '../statistics/profile-inputs';
import type { ProfileInputs } from '../statistics/profile-inputs';
import { describeLayer, describeEmbeddingOrHead } from './chosen-matrices';
import { LayerWork } from './layer-work';
import type { LayerResult } from './layer-work';
import { Measurements } from './measurements';
import {
  chosenParts,
  countMeasurements,
  openParts,
  partCosts,
  partRequests,
} from './profile-parts';
import type { ProfileParts } from './profile-parts';
import type {
  GgufFacts,
  RunTimes,
  SensitivityEntry,
  SensitivityEvent,
  SensitivitySettings,
  SensitivityProfile,
} from './sensitivity-profile';
import { shareLayers } from './share-layers';
import { describeWidth } from './width-sensitivity';
import { createTiming } from './timing';
import type { Timing } from './timing';
import { say } from '../../message';
import type { Message } from '../../message';

/** Job of profiling a model's sensitivity. */
export interface SensitivityJob {
  readonly model: OpenedModel;
  readonly calibration: CalibrationRequest;
  readonly settings: SensitivitySettings;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  /** Output file, or undefined to only return the profile. */
  readonly out: string | undefined;
  /** Journal file for resuming a stopped run. */
  readonly journal: string;
  /** Folder for temporary encodings, removed at the end; next to the journal by default. */
  readonly folder?: string;
  /** True to keep the journal at the end, for a caller that continues and removes it later. */
  readonly keepsJournal?: boolean;
  /** The model as a GGUF file, if types of its tensors are tried. */
  readonly gguf?: GgufFacts | undefined;
  /** Times whole models, if possible. */
  readonly timeRuns?: (() => Promise<RunTimes | undefined>) | undefined;
  /** Engine that distributes the work; undefined to run in this process. */
  readonly engine?: Engine | undefined;
  /**
   * Time by `performance.now()` after which no more measurements start. The profile then lacks entries; blocks from all
   * over the model are measured first.
   */
  readonly deadline?: number | undefined;
}

export interface SensitivityEnvironment {
  /** Path of the calibration text that comes with Espalier. */
  readonly bundledText: string;
  readonly version: string;
  /** Folder with the costs of this machine; without it, the profile has no times. */
  readonly costsFolder?: string;
}

/**
 * Measures, for every linear layer, the effect of compressing it alone on the model's output (CompactifAI,
 * arXiv 2401.14109, § 3); only the sublayers after the layer are run again. Calibrated compressions are fitted to other
 * inputs than those measured, if there are more. Resumes a stopped run of the same job.
 * @throws UserError if the model has no linear layers to compress
 */
export async function profileSensitivity(
  job: SensitivityJob,
  environment: SensitivityEnvironment,
  context: JobContext<SensitivityEvent>,
): Promise<SensitivityProfile> {
  const { model } = job.model;
  const parts = chosenParts(model, job.settings);
  const { measured, fitting } = await loadInputs(job, parts, environment, context);
  const warn = (message: Message): void => {
    context.warn(message);
  };
  const device = await resolveDevice(job.device, warn);
  const settings = { ...job.settings, metric: fittingMetric(model, job.settings.metric, warn) };
  const { costsFolder } = environment;
  const machine =
    costsFolder === undefined ? undefined : await costsInFolder(costsFolder, device, context);
  const identity = identify(settings, [
    model.summary.fingerprint,
    measured.summary.fingerprint,
    ...(fitting === undefined ? [] : [fitting.summary.fingerprint]),
    environment.version,
  ]);
  const measurements = await Measurements.open(job.journal, identity);
  if (measurements.runs === undefined) {
    // Before running the model by sublayers, which needs memory too.
    await measurements.addRuns(await job.timeRuns?.());
  }
  const open = openParts(parts, measurements);
  const costs = partCosts(
    model,
    open,
    settings,
    job.calibration.sequences * job.calibration.length,
  );
  const progress = new ProfileProgress(measurements, countMeasurements(parts), context);
  const timing = createTiming(machine);
  const { engine = localOnly } = job;
  const folder = job.folder ?? `${job.journal}.forms`;
  const inputs = { measured: measured.inputs, fitting: (fitting ?? measured).inputs };
  const work = new LayerWork({
    ...{ ...inputs, model: job.model, settings, device, threads: engine.threads, timing, folder },
    memoryBytes: job.memoryBytes * engine.memoryShare,
    onWork: (stage) => {
      progress.report(stage);
    },
  });
  try {
    const original = await measureOriginal(work, settings.metric, measurements, context);
    const table = (): Omit<SensitivityProfile, keyof Origin> => ({
      format: 'espalier.sensitivity',
      version: 1,
      model: model.summary,
      calibration: measured.summary,
      ...(fitting === undefined ? {} : { fitting: fitting.summary }),
      metric: settings.metric,
      metricDefinition: describeMetric(settings.metric, model),
      original,
      settings,
      device,
      ...measurements.spent,
      ...describeMeasurements(model, parts, measurements, timing),
      ...(job.gguf === undefined ? {} : { gguf: job.gguf }),
    });
    context.emit({ kind: 'sensitivity-started', table: table() });
    progress.start(costs);
    const { deadline = Number.POSITIVE_INFINITY } = job;
    const data = { ...inputs, settings, device, memoryBytes: job.memoryBytes, machine };
    const shared = { engine, key: identity, model: job.model, scratch: folder, data };
    const measuring = shareLayers(shared, work, withDeadline(context, deadline), async (ask) => {
      const requests = partRequests(model, open, Number.isFinite(deadline));
      const answers = requests.map(async ({ id, request }) => {
        await record(id, await ask(request, costs.get(id) ?? 1), measurements, context);
        progress.finish(id);
      });
      await Promise.all(answers);
    });
    await measuring.catch((error: unknown) => {
      // The result has the entries that were measured before the deadline.
      if (!(error instanceof CancelledError) || context.cancellation.isCancellationRequested) {
        throw error;
      }
    });
    const result: SensitivityProfile = { ...table(), ...describeOrigin(environment.version) };
    if (job.out !== undefined) {
      await writeDocument(job.out, result);
    }
    if (job.keepsJournal !== true) {
      await measurements.remove();
    }
    return result;
  } finally {
    await measurements.removeIfEmpty();
    await work.dispose();
  }
}

async function loadInputs(
  { model: { model }, calibration, settings: { seed, compressions } }: SensitivityJob,
  { layers }: ProfileParts,
  { bundledText }: SensitivityEnvironment,
  context: JobContext<SensitivityEvent>,
): Promise<ProfileInputs> {
  const fitted = layers.flatMap(({ layer }) =>
    compressions.map((compression) => ({ in: layer.in, ...compression })),
  );
  return loadProfileInputs(calibration, model, bundledText, { seed, fitted }, (message) => {
    context.warn(message);
  });
}

/** Runs the original, and returns its value of the metric: 0, unless the metric depends on the output itself. */
async function measureOriginal(
  work: LayerWork,
  metric: MetricName,
  measurements: Measurements,
  { cancellation }: JobContext<SensitivityEvent>,
): Promise<number> {
  const states = await work.start(cancellation);
  measurements.evaluations = work.executor.evaluations;
  return metrics[metric].reads.includes('change') ? 0 : work.scorer.distance(states);
}

/** The measured part of a profile. */
function describeMeasurements(
  model: LayeredModel,
  { layers, embeddingAndHead, widths }: ProfileParts,
  { entries, widths: measuredWidths, runs }: Measurements,
  timing: Timing,
): Pick<SensitivityProfile, 'layers' | 'embeddingAndHead' | 'widths' | 'runs'> {
  return {
    layers: layers.map(({ layer, compressions }) =>
      describeLayer(model, layer, compressions, entries, timing),
    ),
    ...(embeddingAndHead.length === 0
      ? {}
      : {
          embeddingAndHead: embeddingAndHead.map(({ matrix, compressions }) =>
            describeEmbeddingOrHead(matrix, compressions, entries, timing),
          ),
        }),
    ...(widths.length === 0
      ? {}
      : {
          widths: widths.map((one) => measuredWidths.get(one.sublayer) ?? describeWidth(one, [])),
        }),
    ...(runs === undefined ? {} : { runs }),
  };
}

/** Records the result of a work item. */
async function record(
  id: string,
  { entries, width, evaluations }: LayerResult,
  measurements: Measurements,
  context: JobContext<SensitivityEvent>,
): Promise<void> {
  measurements.evaluations += evaluations;
  for (const entry of entries) {
    if (isFiniteEntry(entry)) {
      context.emit({ kind: 'sensitivity-entry', tensor: id, entry });
    } else {
      const form = formatCompression(entry);
      context.warn(
        say`${id}: The outputs with ${form} are not finite numbers. It is left out of the profile.`,
      );
    }
  }
  await measurements.add(id, entries.filter(isFiniteEntry), width);
}

/** Progress of a profile, with the time left by the costs of its parts. */
class ProfileProgress {
  #remaining: RemainingParts | undefined;

  public constructor(
    private readonly measurements: Measurements,
    private readonly total: number,
    private readonly context: JobContext<SensitivityEvent>,
  ) {}

  public start(costs: ReadonlyMap<string, number>): void {
    this.#remaining = new RemainingParts(costs);
  }

  public finish(part: string): void {
    this.#remaining?.finish(part);
    this.report(say`Measuring linear layers`);
  }

  public report(stage: Message): void {
    this.context.progress({
      ...{ stage, done: this.measurements.count, total: this.total, unit: 'steps' },
      secondsLeft: this.#remaining?.secondsLeft,
    });
  }
}

/** Context of a job that is also canceled at the deadline. */
function withDeadline(
  context: JobContext<SensitivityEvent>,
  deadline: number,
): JobContext<SensitivityEvent> {
  return {
    ...context,
    cancellation: {
      get isCancellationRequested(): boolean {
        return context.cancellation.isCancellationRequested || performance.now() > deadline;
      },
    },
  };
}

function identify(settings: SensitivitySettings, fingerprints: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify({ settings, fingerprints })).digest('hex');
}

/** JSON documents can't contain NaN or infinity. */
const isFiniteEntry = ({ distance, error, standardError = 0 }: SensitivityEntry): boolean =>
  [distance, error, standardError].every(Number.isFinite);
