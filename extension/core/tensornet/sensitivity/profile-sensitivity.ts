import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { CalibrationRequest } from '../../data/calibration';
import { loadModelInputs } from '../../data/model-inputs';
import type { JobContext } from '../../jobs/job';
import { Journal } from '../../jobs/journal';
import { writeDocument } from '../../jobs/write-document';
import { fittingMetric, metrics } from '../../metrics/metrics';
import { storeForms } from '../../models/forms/store-forms';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer } from '../../models/matrix-form';
import { openModel } from '../../models/open-model';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { describeOrigin } from '../../runtime/origin';
import { UserError } from '../../user-error';
import { compressMatrix } from '../compress-matrix';
import type { Compression } from '../compression-choice';
import type { CompressionContext } from '../compression-context';
import { MatrixProducts } from '../matrix-products';
import { ChangeScorer } from './change-scorer';
import type { StandIn } from './change-scorer';
import { compressionKey, compressionsOf } from './compressions-of';
import { sensitivityEntrySchema } from './sensitivity-table-schema';
import type {
  LayerSensitivity,
  SensitivityEntry,
  SensitivityEvent,
  SensitivitySettings,
  SensitivityTable,
} from './sensitivity-table';

/** What to profile, how, and where the result goes. */
export interface SensitivityJob {
  readonly model: string;
  readonly calibration: CalibrationRequest;
  readonly settings: SensitivitySettings;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  /** Where the table is written, or undefined to only return it. */
  readonly out: string | undefined;
  /** The journal that lets a stopped run go on; forms in work lie in a folder beside it. */
  readonly journal: string;
}

export interface SensitivityEnvironment {
  /** Path of the calibration text that comes with Espalier. */
  readonly bundledText: string;
  readonly version: string;
}

const entrySchema = v.variant('kind', [
  v.object({ kind: v.literal('layer'), tensor: v.string(), entry: sensitivityEntrySchema }),
  /** What a run had spent when it last wrote; runs add up. */
  v.object({ kind: v.literal('spent'), run: v.number(), seconds: v.number(), evaluations: v.number() }),
]);
type Entry = v.InferOutput<typeof entrySchema>;

/** Changes of one sublayer that are compressed, then measured together. */
const changesPerGroup = 16;

/**
 * Measures, for every linear layer, what compressing it alone does to the model's output (CompactifAI,
 * arXiv 2401.14109, § 3): only what lies behind the layer is run again. Goes on where an earlier run
 * of the same job stopped.
 * @throws UserError where the model has no linear layers to compress.
 */
export async function profileSensitivity(
  job: SensitivityJob,
  environment: SensitivityEnvironment,
  context: JobContext<SensitivityEvent>,
): Promise<SensitivityTable> {
  const model = await openModel(job.model);
  const layers = chosenLayers(model, job.settings);
  const calibration = await loadModelInputs(
    job.calibration,
    model,
    environment.bundledText,
    job.settings.seed,
  );
  for (const warning of calibration.warnings) {
    context.warn(warning);
  }
  const warn = (message: string): void => {
    context.warn(message);
  };
  const device = await resolveDevice(job.device, warn);
  const settings = { ...job.settings, metric: fittingMetric(model, job.settings.metric, warn) };
  const journal = await Journal.open(
    job.journal,
    identify(settings, [model.summary.fingerprint, calibration.summary.fingerprint, environment.version]),
    parseEntry,
  );
  const known = new Map<string, SensitivityEntry>();
  for (const entry of journal.replayed) {
    if (entry.kind === 'layer') {
      known.set(keyOf(entry.tensor, entry.entry as SensitivityEntry), entry.entry as SensitivityEntry);
    }
  }
  const spentBefore = spentOf(journal.replayed);
  const forms = `${job.journal}.forms`;
  const executor = new LayeredExecutor(model, device, job.memoryBytes);
  const products = new MatrixProducts(device, job.memoryBytes);
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const wanted = layers.map((layer) => ({
    layer,
    compressions: compressionsOf(layer, settings.compressions),
  }));
  const total = wanted.reduce((sum, { compressions }) => sum + compressions.length, 0);
  const report = (stage: string): void => {
    context.progress({ stage, done: known.size, total, unit: 'steps' });
  };
  const scorer = new ChangeScorer({
    executor,
    inputs: calibration.inputs,
    metric: settings.metric,
    cancellation: context.cancellation,
    onWork: () => {
      report('Measuring linear layers');
    },
  });
  try {
    const dense = await scorer.distance(await scorer.start());
    const table = (): Omit<SensitivityTable, 'created' | 'versions' | 'machine'> => ({
      format: 'espalier.sensitivity',
      version: 1,
      model: model.summary,
      calibration: calibration.summary,
      metric: settings.metric,
      metricDefinition: metrics[settings.metric].definition,
      dense,
      settings,
      device,
      seconds: spentBefore.seconds + seconds(),
      sublayerEvaluations: spentBefore.evaluations + executor.evaluations,
      layers: wanted.map(({ layer, compressions }) =>
        describeLayer(model, layer, compressions, known),
      ),
    });
    context.emit({ kind: 'sensitivity-started', table: table() });
    await mkdir(forms, { recursive: true });
    for (const index of new Set(layers.map(({ sublayer }) => sublayer))) {
      const open = wanted
        .filter(({ layer }) => layer.sublayer === index)
        .flatMap(({ layer, compressions }) =>
          compressions
            .filter((compression) => !known.has(keyOf(layer.id, compression)))
            .map((compression) => ({ layer, compression })),
        );
      if (open.length === 0) {
        continue;
      }
    }
    const result: SensitivityTable = { ...table(), ...describeOrigin(environment.version) };
    if (job.out !== undefined) {
      await writeDocument(job.out, result);
    }
    await journal.remove();
    return result;
  } finally {
    await journal.removeIfEmpty();
    await rm(forms, { recursive: true, force: true });
    await products.dispose();
    await executor.dispose();
  }
}
