import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { CalibrationRequest } from '../../data/calibration';
import type { Engine } from '../../distribute/work-item';
import { localOnly } from '../../distribute/with-workers';
import { RemainingParts } from '../../jobs/time-left';
import { CancelledError } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { Journal, totalSpent, spentSchema } from '../../jobs/journal';
import type { Spent } from '../../jobs/journal';
import { writeDocument } from '../../jobs/write-document';
import { describeMetric, metrics, fittingMetric } from '../../metrics/metrics';
import type { ModelMatrix } from '../../models/matrix-encoding';
import type { OpenedModel } from '../../models/opened-model';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { describeOrigin } from '../../runtime/origin';
import { formatCompression } from '../compression-choice';
import type { Compression } from '../compression-choice';
import { costsInFolder } from '../costs/costs-in-folder';
import { loadProfileInputs } from '../statistics/profile-inputs';
import { chosenLayers, chosenEmbeddingAndHead } from './chosen-matrices';
import { expandCompressions } from './expand-compressions';
import { describeLayer, describeEmbeddingOrHead, matrixKey } from './describe-matrices';
import { layerCosts, embeddingCosts, widthCosts } from './expected-cost';
import { LayerWork } from './layer-work';
import {
  runTimesSchema,
  sensitivityEntrySchema,
  widthSensitivitySchema,
} from './sensitivity-profile-schema';
import type {
  GgufFacts,
  RunTimes,
  SensitivityEntry,
  SensitivityEvent,
  SensitivitySettings,
  SensitivityProfile,
  WidthSensitivity,
} from './sensitivity-profile';
import { shareLayers } from './share-layers';
import { chosenWidths, describeWidth } from './width-sensitivity';
import { createTiming } from './timing';
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

/** If time is short, every n-th block is measured first. */
const blockStride = 4;

export interface SensitivityEnvironment {
  /** Path of the calibration text that comes with Espalier. */
  readonly bundledText: string;
  readonly version: string;
  /** Folder with the costs of this machine; without it, the profile has no times. */
  readonly costsFolder?: string;
}

const entrySchema = v.variant('kind', [
  v.object({ kind: v.literal('layer'), tensor: v.string(), entry: sensitivityEntrySchema }),
  v.object({ kind: v.literal('width'), width: widthSensitivitySchema }),
  v.object({ kind: v.literal('runs'), runs: runTimesSchema }),
  spentSchema,
]);
/** Entry of the journal. */
type Entry =
  | { readonly kind: 'layer'; readonly tensor: string; readonly entry: SensitivityEntry }
  | { readonly kind: 'width'; readonly width: WidthSensitivity }
  | { readonly kind: 'runs'; readonly runs: RunTimes }
  | Spent;

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
  const layers = chosenLayers(model, job.settings);
  const embeddingAndHead = chosenEmbeddingAndHead(model, job.settings);
  const widths = chosenWidths(model, job.settings);
  const warn = (message: Message): void => {
    context.warn(message);
  };
  const fitted = layers.flatMap((layer) =>
    job.settings.compressions.map((compression) => ({ in: layer.in, ...compression })),
  );
  const { measured, fitting } = await loadProfileInputs(
    job.calibration,
    model,
    environment.bundledText,
    { seed: job.settings.seed, fitted },
    warn,
  );
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
  const journal = await Journal.open(job.journal, identity, parseEntry);
  const known = new Map<string, SensitivityEntry>();
  const measuredWidths = new Map<string, WidthSensitivity>();
  let runs: RunTimes | undefined;
  for (const entry of journal.replayed) {
    if (entry.kind === 'layer') {
      known.set(matrixKey(entry.tensor, entry.entry), entry.entry);
    } else if (entry.kind === 'width') {
      measuredWidths.set(entry.width.sublayer, entry.width);
    } else if (entry.kind === 'runs') {
      ({ runs } = entry);
    }
  }
  if (runs === undefined && job.timeRuns !== undefined) {
    // Before running the model by sublayers, which needs memory too.
    runs = await job.timeRuns();
    await journal.append(runs === undefined ? [] : [{ kind: 'runs', runs }]);
  }
  const spentBefore = totalSpent(journal.replayed);
  const forms = job.folder ?? `${job.journal}.forms`;
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const wanted = layers.map((layer) => ({
    layer,
    compressions: expandCompressions(layer, settings.compressions),
  }));
  const total =
    [...wanted, ...embeddingAndHead].reduce(
      (sum, { compressions }) => sum + compressions.length,
      0,
    ) + widths.reduce((sum, { kept }) => sum + kept.length, 0);
  const isOpen = ({ id }: Pick<ModelMatrix, 'id'>, compressions: readonly Compression[]): boolean =>
    compressions.some((one) => !known.has(matrixKey(id, one)));
  let ahead: RemainingParts | undefined;
  const report = (stage: Message): void => {
    const secondsLeft = ahead?.secondsLeft;
    const widthPruned = [...measuredWidths.values()].reduce(
      (sum, one) => sum + one.entries.length,
      0,
    );
    const done = known.size + widthPruned;
    context.progress({ stage, done, total, unit: 'steps', secondsLeft });
  };
  const timing = createTiming(machine);
  const engine = job.engine ?? localOnly;
  const memoryBytes = job.memoryBytes * engine.memoryShare;
  const work = new LayerWork({
    ...{ model: job.model, device, memoryBytes, threads: engine.threads },
    measured: measured.inputs,
    fitting: (fitting ?? measured).inputs,
    ...{ settings, timing, folder: forms, onWork: report },
  });
  const { scorer, executor } = work;
  let evaluations = 0;
  try {
    const states = await work.start(context.cancellation);
    evaluations = executor.evaluations;
    // The original's distance is 0, unless the metric depends on the output itself.
    const original = metrics[settings.metric].reads.includes('change')
      ? 0
      : await scorer.distance(states);
    const table = (): Omit<SensitivityProfile, 'created' | 'versions' | 'machine'> => ({
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
      seconds: spentBefore.seconds + seconds(),
      sublayerEvaluations: spentBefore.evaluations + evaluations,
      layers: wanted.map(({ layer, compressions }) =>
        describeLayer(model, layer, compressions, known, timing),
      ),
      ...(embeddingAndHead.length === 0
        ? {}
        : {
            embeddingAndHead: embeddingAndHead.map(({ matrix, compressions }) =>
              describeEmbeddingOrHead(matrix, compressions, known, timing),
            ),
          }),
      ...(widths.length === 0
        ? {}
        : {
            widths: widths.map((one) => measuredWidths.get(one.sublayer) ?? describeWidth(one, [])),
          }),
      ...(job.gguf === undefined ? {} : { gguf: job.gguf }),
      ...(runs === undefined ? {} : { runs }),
    });
    context.emit({ kind: 'sensitivity-started', table: table() });
    const append = async (entries: readonly Entry[]): Promise<void> =>
      journal.append([
        ...entries,
        {
          kind: 'spent',
          run: spentBefore.runs,
          seconds: seconds(),
          evaluations,
        },
      ]);
    const record = async (tensor: string, all: readonly SensitivityEntry[]): Promise<void> => {
      const entries = all.filter(isFiniteEntry);
      for (const entry of all.filter((one) => !isFiniteEntry(one))) {
        const form = formatCompression(entry);
        context.warn(
          say`${tensor}: The outputs with ${form} are not finite numbers. It is left out of the profile.`,
        );
      }
      for (const entry of entries) {
        known.set(matrixKey(tensor, entry), entry);
        context.emit({ kind: 'sensitivity-entry', tensor, entry });
      }
      await append(entries.map((entry) => ({ kind: 'layer', tensor, entry })));
    };
    const { sequences, length } = job.calibration;
    const trials = { ...settings, tokens: sequences * length };
    const openLayers = wanted.filter((one) => isOpen(one.layer, one.compressions));
    const openWidths = widths.filter(({ sublayer }) => !measuredWidths.has(sublayer));
    const openEmbeddingAndHead = embeddingAndHead.filter(({ matrix, compressions }) =>
      isOpen(matrix, compressions),
    );
    const costs = new Map([
      ...embeddingCosts(model, openEmbeddingAndHead, trials.tokens),
      ...layerCosts(
        model,
        openLayers.map(({ layer }) => layer),
        trials,
      ),
      ...widthCosts(model, openWidths, trials),
    ]);
    ahead = new RemainingParts(costs);
    const requests = [
      ...openWidths.map(
        ({ index, sublayer: id }) => ({ kind: 'widths', sublayer: index, id }) as const,
      ),
      ...openLayers.map(
        ({ layer: { sublayer, id } }) => ({ kind: 'layer', sublayer, id }) as const,
      ),
    ].sort((a, b) => a.sublayer - b.sublayer);
    const { deadline = Number.POSITIVE_INFINITY } = job;
    const isEarly = ({ sublayer }: { readonly sublayer: number }): boolean =>
      (model.summary.sublayers[sublayer]?.block ?? 0) % blockStride === 0;
    const ordered = Number.isFinite(deadline)
      ? [...requests.filter(isEarly), ...requests.filter((part) => !isEarly(part))]
      : requests;
    const parts = [
      ...openEmbeddingAndHead.map(
        ({ matrix: { id } }) => ({ kind: 'embedding-or-head', id }) as const,
      ),
      ...ordered,
    ];
    const shared = {
      engine,
      key: identity,
      model: job.model,
      scratch: forms,
      data: {
        ...{ measured: measured.inputs, fitting: (fitting ?? measured).inputs },
        ...{ settings, device, memoryBytes: job.memoryBytes, machine },
      },
    };
    const untilDeadline = {
      ...context,
      cancellation: {
        get isCancellationRequested(): boolean {
          return context.cancellation.isCancellationRequested || performance.now() > deadline;
        },
      },
    };
    const measuring = shareLayers(shared, work, untilDeadline, async (ask) => {
      const answers = parts.map(async (part) => {
        const { id } = part;
        const { entries, width, evaluations: spent } = await ask(part, costs.get(id) ?? 1);
        evaluations += spent;
        if (width !== undefined) {
          measuredWidths.set(width.sublayer, width);
          await append([{ kind: 'width', width }]);
        }
        if (part.kind !== 'widths') {
          await record(id, entries);
        }
        ahead?.finish(id);
        report(say`Measuring linear layers`);
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
      await journal.remove();
    }
    return result;
  } finally {
    await journal.removeIfEmpty();
    await work.dispose();
  }
}

function identify(settings: SensitivitySettings, fingerprints: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify({ settings, fingerprints })).digest('hex');
}

function parseEntry(value: unknown): Entry | undefined {
  const result = v.safeParse(entrySchema, value);
  return result.success ? (result.output as Entry) : undefined;
}

/** JSON documents can't contain NaN or infinity. */
const isFiniteEntry = ({ distance, error, standardError = 0 }: SensitivityEntry): boolean =>
  [distance, error, standardError].every(Number.isFinite);
