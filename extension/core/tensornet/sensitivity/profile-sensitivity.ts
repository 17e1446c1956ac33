import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { CalibrationRequest } from '../../data/calibration';
import { CostAhead } from '../../jobs/cost-ahead';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { Journal } from '../../jobs/journal';
import { spentOf, spentSchema } from '../../jobs/spent';
import type { Spent } from '../../jobs/spent';
import { writeDocument } from '../../jobs/write-document';
import { describeMetric, metrics, fittingMetric } from '../../metrics/metrics';
import { storeForms } from '../../models/forms/store-forms';
import type { EstimatedDistance } from '../../metrics/term-sample';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, ModelMatrix } from '../../models/matrix-encoding';
import { requireAble } from '../../models/capability';
import type { OpenedModel } from '../../models/opened-model';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { requireMemory } from '../../runtime/memory-shares';
import { describeOrigin } from '../../runtime/origin';
import { compressInWays } from '../compress-matrix';
import type { CompressedMatrix } from '../compress-matrix';
import type { Compression } from '../compression-choice';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import { storageDtype } from '../storage-dtype';
import { CalibrationPass } from '../statistics/calibration-pass';
import { loadProfileInputs } from '../statistics/profile-inputs';
import { chosenLayers, chosenOuter } from './chosen-matrices';
import { ChangeScorer } from './change-scorer';
import type { StandIn } from './change-scorer';
import { compressionsOf } from './compressions-of';
import { describeLayer, describeOuter, keyOf } from './describe-matrices';
import { laddersOf } from './ladders';
import { layerCosts, widthCosts } from './expected-cost';
import { measureOuter } from './outer-sensitivity';
import { sensitivityEntrySchema, widthSensitivitySchema } from './sensitivity-profile-schema';
import type {
  SensitivityEntry,
  SensitivityEvent,
  SensitivitySettings,
  SensitivityProfile,
  WidthSensitivity,
} from './sensitivity-profile';
import { chosenWidths, describeWidth, measureWidth } from './width-sensitivity';
import { timingOf } from './timing';
import type { Timing } from './timing';
import { say } from '../../message';
import type { Message } from '../../message';

/** What to profile, how, and where the result goes. */
export interface SensitivityJob {
  readonly model: OpenedModel;
  readonly calibration: CalibrationRequest;
  readonly settings: SensitivitySettings;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  /** Where the table is written, or undefined to only return it. */
  readonly out: string | undefined;
  /** The journal that lets a stopped run go on. */
  readonly journal: string;
  /** A folder for forms in work, removed at the end; beside the journal when absent. */
  readonly folder?: string;
  /** Whether the journal stays when all is measured, for a caller who has more to do and removes it then. */
  readonly keepsJournal?: boolean;
}

export interface SensitivityEnvironment {
  /** Path of the calibration text that comes with Espalier. */
  readonly bundledText: string;
  readonly version: string;
  /** Where the costs of this machine are kept; no times are told without. */
  readonly costsFolder?: string;
}

const entrySchema = v.variant('kind', [
  v.object({ kind: v.literal('layer'), tensor: v.string(), entry: sensitivityEntrySchema }),
  v.object({ kind: v.literal('width'), width: widthSensitivitySchema }),
  spentSchema,
]);
/** What the journal holds. */
type Entry =
  | { readonly kind: 'layer'; readonly tensor: string; readonly entry: SensitivityEntry }
  | { readonly kind: 'width'; readonly width: WidthSensitivity }
  | Spent;

/**
 * Measures, for every linear layer, what compressing it alone does to the model's output (CompactifAI,
 * arXiv 2401.14109, § 3): only what lies behind the layer is run again. Compressions that look at
 * inputs are fitted to others than those that are measured, where there are more. Goes on where an
 * earlier run of the same job stopped.
 * @throws UserError where the model has no linear layers to compress.
 */
export async function profileSensitivity(
  job: SensitivityJob,
  environment: SensitivityEnvironment,
  context: JobContext<SensitivityEvent>,
): Promise<SensitivityProfile> {
  requireAble(job.model.capabilities.compress, job.model.path);
  const { model } = job.model;
  const layers = chosenLayers(model, job.settings);
  const outer = chosenOuter(model, job.settings);
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
  const journal = await Journal.open(
    job.journal,
    identify(settings, [
      model.summary.fingerprint,
      measured.summary.fingerprint,
      ...(fitting === undefined ? [] : [fitting.summary.fingerprint]),
      environment.version,
    ]),
    parseEntry,
  );
  const known = new Map<string, SensitivityEntry>();
  const measuredWidths = new Map<string, WidthSensitivity>();
  for (const entry of journal.replayed) {
    if (entry.kind === 'layer') {
      known.set(keyOf(entry.tensor, entry.entry), entry.entry);
    } else if (entry.kind === 'width') {
      measuredWidths.set(entry.width.sublayer, entry.width);
    }
  }
  const spentBefore = spentOf(journal.replayed);
  const forms = job.folder ?? `${job.journal}.forms`;
  const dtype = storageDtype(model.summary);
  requireMemory(model, job.memoryBytes, device);
  const executor = new LayeredExecutor(model, device, job.memoryBytes);
  const products = new MatrixProducts(device, job.memoryBytes);
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const wanted = layers.map((layer) => ({
    layer,
    compressions: compressionsOf(layer, settings.compressions),
  }));
  const total =
    [...wanted, ...outer].reduce((sum, { compressions }) => sum + compressions.length, 0) +
    widths.reduce((sum, { kept }) => sum + kept.length, 0);
  const isOpen = ({ id }: ModelMatrix, compressions: readonly Compression[]): boolean =>
    compressions.some((one) => !known.has(keyOf(id, one)));
  let ahead: CostAhead | undefined;
  const report = (stage: Message): void => {
    const secondsLeft = ahead?.secondsLeft;
    const narrowed = [...measuredWidths.values()].reduce((sum, one) => sum + one.entries.length, 0);
    const done = known.size + narrowed;
    context.progress({ stage, done, total, unit: 'steps', secondsLeft });
  };
  const scorer = new ChangeScorer({
    executor,
    inputs: measured.inputs,
    metric: settings.metric,
    cancellation: context.cancellation,
    onWork: () => {
      report(say`Measuring linear layers`);
    },
  });
  const pass = new CalibrationPass({
    executor,
    products,
    inputs: (fitting ?? measured).inputs,
    replaces: false,
    afterRun: async () => {
      report(say`Reading inputs of linear layers`);
      await checkpoint(context.cancellation);
    },
  });
  try {
    const timing = await timingOf(environment.costsFolder, device, context);
    const states = await scorer.start();
    // Nothing has changed, which only metrics of the output itself have to measure.
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
      sublayerEvaluations: spentBefore.evaluations + Math.round(scorer.evaluations),
      layers: wanted.map(({ layer, compressions }) =>
        describeLayer(model, layer, compressions, known, timing),
      ),
      ...(outer.length === 0
        ? {}
        : {
            outer: outer.map(({ matrix, compressions }) =>
              describeOuter(matrix, compressions, known, timing),
            ),
          }),
      ...(widths.length === 0
        ? {}
        : {
            widths: widths.map((one) => measuredWidths.get(one.sublayer) ?? describeWidth(one, [])),
          }),
    });
    context.emit({ kind: 'sensitivity-started', table: table() });
    await mkdir(forms, { recursive: true });
    const append = async (entries: readonly Entry[]): Promise<void> =>
      journal.append([
        ...entries,
        {
          kind: 'spent',
          run: spentBefore.runs,
          seconds: seconds(),
          evaluations: Math.round(scorer.evaluations),
        },
      ]);
    const record = async (tensor: string, entries: readonly SensitivityEntry[]): Promise<void> => {
      for (const entry of entries) {
        known.set(keyOf(tensor, entry), entry);
        context.emit({ kind: 'sensitivity-entry', tensor, entry });
      }
      await append(entries.map((entry) => ({ kind: 'layer', tensor, entry })));
    };
    const compression = { products, dtype, seed: settings.seed };
    for (const { matrix, compressions } of outer) {
      if (isOpen(matrix, compressions)) {
        report(say`Measuring embedding and head`);
        const { memoryBytes } = job;
        const setup = { model, scorer, compression, timing, device, memoryBytes, folder: forms };
        const { cancellation } = context;
        await record(
          matrix.id,
          await measureOuter({ ...setup, cancellation }, matrix, compressions),
        );
      }
    }
    const { sequences, length } = job.calibration;
    const trials = { ...settings, tokens: sequences * length };
    const openLayers = wanted.filter((one) => isOpen(one.layer, one.compressions));
    const openWidths = widths.filter(({ sublayer }) => !measuredWidths.has(sublayer));
    ahead = new CostAhead(
      new Map([
        ...layerCosts(
          model,
          openLayers.map(({ layer }) => layer),
          trials,
        ),
        ...widthCosts(model, openWidths, trials),
      ]),
    );
    const places = [...layers.map(({ sublayer }) => sublayer), ...widths.map(({ index }) => index)];
    for (const index of [...new Set(places)].sort((a, b) => a - b)) {
      // A layer is measured as a whole: its matrix is decomposed once, and a resumed run decomposes the same.
      const open = wanted.filter(
        ({ layer, compressions }) => layer.sublayer === index && isOpen(layer, compressions),
      );
      const width = widths.find((one) => one.index === index && !measuredWidths.has(one.sublayer));
      if (open.length === 0 && width === undefined) {
        continue;
      }
      await scorer.advance(index);
      const statistics = await pass.statistics(index);
      const behind = statistics.get(width?.width.output.weight.name ?? '');
      if (width !== undefined && behind !== undefined) {
        report(say`Measuring widths`);
        const { precision } = settings;
        const setup = { model: job.model, scorer, products, precision, folder: forms };
        const found = describeWidth(width, await measureWidth(setup, width, behind));
        measuredWidths.set(found.sublayer, found);
        await append([{ kind: 'width', width: found }]);
        ahead.finish(found.sublayer);
      }
      for (const { layer, compressions } of open) {
        report(say`Compressing linear layers`);
        const own = statistics.get(layer.id);
        const ways = compressInWays(
          own === undefined ? compression : { ...compression, statistics: own },
          layer,
          compressions,
        );
        const changes: Change[] = [];
        for await (const compressed of ways) {
          const path = join(forms, `${changes.length}.safetensors`);
          changes.push(await standIn(model, layer, compressed, path, timing));
          report(say`Compressing linear layers`);
          await checkpoint(context.cancellation);
        }
        const steps = changes.map(({ step }) => step);
        const { precision } = settings;
        const distances = await (precision === 0
          ? scorer.distances(steps)
          : scorer.estimates(
              steps,
              precision,
              laddersOf(
                compressions,
                changes.map(({ costs }) => costs.outputError),
              ),
            ));
        const entries = compressions.flatMap((compression, i): SensitivityEntry[] => {
          const [costs, distance] = [changes[i]?.costs, distances[i]];
          return costs === undefined || distance === undefined
            ? []
            : [{ ...compression, ...distance, ...costs }];
        });
        await record(layer.id, entries);
        ahead.finish(layer.id);
      }
    }
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
    await rm(forms, { recursive: true, force: true });
    await products.dispose();
    await executor.dispose();
  }
}

/** A compression of one layer, ready to be measured. */
interface Change {
  readonly step: StandIn;
  readonly costs: Omit<SensitivityEntry, keyof Compression | keyof EstimatedDistance>;
}

async function standIn(
  model: LayeredModel,
  layer: LinearLayer,
  { form, error, outputError, parameters, bytes }: CompressedMatrix,
  path: string,
  timing: Timing,
): Promise<Change> {
  const stored = await storeForms(path, new Map([[layer.id, form]]));
  const changed = model.withMatrices(stored);
  return {
    step: changed.sublayer(layer.sublayer),
    costs: {
      error,
      ...(outputError === undefined ? {} : { outputError }),
      parameters,
      bytes,
      ...timing(layer, form),
    },
  };
}

function identify(settings: SensitivitySettings, fingerprints: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify({ settings, fingerprints })).digest('hex');
}

function parseEntry(value: unknown): Entry | undefined {
  const result = v.safeParse(entrySchema, value);
  return result.success ? (result.output as Entry) : undefined;
}
