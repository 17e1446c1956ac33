import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { makeWorkFolder } from '../../jobs/work-folder';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { EstimatedDistance } from '../../metrics/term-sample';
import { storeEncodings } from '../../models/encodings/store-encodings';
import type { LayerStack } from '../../models/layer-stacks';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import type { ModelInput } from '../../models/model-input';
import type { OpenedModel } from '../../models/opened-model';
import { overlap } from '../../models/units';
import { expertSaliency } from '../../metrics/expert-saliency';
import type { ExpertSaliency } from '../../metrics/expert-saliency';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { requireMemory } from '../../runtime/memory-shares';
import { compressWithEach } from '../compress-matrix';
import type { Compression } from '../compression-choice';
import type { CompressionContext } from '../compression-context';
import { CalibrationPass } from '../statistics/calibration-pass';
import type { SublayerStatistics } from '../statistics/calibration-pass';
import { gramRoom, memoryBesideFitting } from '../statistics/fitting-memory';
import { storageDtype } from '../compression-context';
import { ChangeScorer } from './change-scorer';
import { chosenEmbeddingAndHead, chosenLayers } from './chosen-matrices';
import { expandCompressions } from './expand-compressions';
import { entryType } from './gguf-facts';
import { buildLadders } from './ladders';
import { measureEmbeddingOrHead } from './embedding-and-head-sensitivity';
import type {
  SensitivityEntry,
  SensitivitySettings,
  WidthSensitivity,
} from './sensitivity-profile';
import { sensitivityEntrySchema, widthSensitivitySchema } from './sensitivity-profile-schema';
import { addTimes } from './timing';
import type { Timing } from './timing';
import { chosenWidths, contributions, describeWidth, measureWidth } from './width-sensitivity';
import type { OpenWidth } from './width-sensitivity';
import { say } from '../../message';
import type { Message } from '../../message';

const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Work item of a sensitivity profile. */
export const layerRequestSchema = v.variant('kind', [
  v.object({ kind: v.literal('layer'), sublayer: index, id: v.string() }),
  v.object({ kind: v.literal('widths'), sublayer: index }),
  v.object({ kind: v.literal('embedding-or-head'), id: v.string() }),
]);
export type LayerRequest = v.InferOutput<typeof layerRequestSchema>;

/** Result of measuring one layer's compressions or widths. */
export const layerResultSchema = v.object({
  entries: v.array(sensitivityEntrySchema),
  width: v.optional(widthSensitivitySchema),
  /** Number of sublayer evaluations. */
  evaluations: v.number(),
});
export interface LayerResult {
  readonly entries: readonly SensitivityEntry[];
  readonly width?: WidthSensitivity;
  readonly evaluations: number;
}

/** Model, inputs and settings for measuring layers. */
export interface LayerSetup {
  readonly model: OpenedModel;
  readonly device: DeviceName;
  readonly memoryBytes: number;
  readonly threads?: number | undefined;
  readonly measured: readonly ModelInput[];
  /** Inputs that calibrated compressions are fitted to. */
  readonly fitting: readonly ModelInput[];
  readonly settings: SensitivitySettings;
  readonly timing: Timing;
  /** Folder for temporary encodings, removed at the end. */
  readonly folder: string;
  /** Called after every run of ONNX Runtime. */
  readonly onWork: (stage: Message) => void;
}

/** Measures linear layers and widths. Model order needs the least work, but any order gives the same result. */
export class LayerWork {
  public readonly executor: LayeredExecutor;
  public readonly scorer: ChangeScorer;
  private readonly compression: Omit<CompressionContext, 'statistics'>;
  private readonly products: MatrixProducts;
  private pass: CalibrationPass;
  /** Statistics of the current sublayer; empty before the first. */
  private statistics: SublayerStatistics = new Map<string, never>();
  private index: number | undefined;
  /** Saliency of the experts of all MoE layers, computed on first use. */
  private experts: readonly (readonly ExpertSaliency[])[] | undefined;
  /** Linear layers by id, listed on first use. */
  private layers: ReadonlyMap<string, LayerStack> | undefined;
  private isStarted = false;
  private cancellation: TaskJob['cancellation'] = { isCancellationRequested: false };

  /** @throws UserError if the model needs more memory */
  public constructor(private readonly setup: LayerSetup) {
    const { model, device, memoryBytes, threads, settings, measured, fitting, onWork } = setup;
    requireMemory(model.model, memoryBytes, device);
    const beside = memoryBesideFitting(model.model, memoryBytes, device, fitting);
    this.executor = new LayeredExecutor(model.model, device, beside, { threads });
    this.products = new MatrixProducts(device, memoryBytes, threads);
    this.compression = {
      products: this.products,
      dtype: storageDtype(model.summary),
      seed: settings.seed,
    };
    const isCancelled = (): boolean => this.cancellation.isCancellationRequested;
    this.scorer = new ChangeScorer({
      executor: this.executor,
      inputs: measured,
      metric: settings.metric,
      cancellation: {
        get isCancellationRequested(): boolean {
          return isCancelled();
        },
      },
      onWork: () => {
        onWork(say`Measuring linear layers`);
      },
    });
    this.pass = this.newPass();
  }

  /** Runs the original; later measurements stop if `cancellation` is requested. */
  public async start(cancellation: TaskJob['cancellation']): ReturnType<ChangeScorer['start']> {
    this.cancellation = cancellation;
    await makeWorkFolder(this.setup.folder);
    const states = await this.scorer.start();
    this.pass = this.newPass();
    this.index = undefined;
    this.isStarted = true;
    return states;
  }

  public async do(
    request: LayerRequest,
    { cancellation }: Pick<TaskJob, 'cancellation'>,
  ): Promise<LayerResult> {
    const before = this.scorer.evaluations;
    this.cancellation = cancellation;
    const found = await this.measure(request);
    return { ...found, evaluations: Math.round(this.scorer.evaluations - before) };
  }

  public async dispose(): Promise<void> {
    await rm(this.setup.folder, { recursive: true, force: true });
    await this.products.dispose();
    await this.executor.dispose();
  }

  private async measure(request: LayerRequest): Promise<Omit<LayerResult, 'evaluations'>> {
    if (request.kind === 'embedding-or-head') {
      if (!this.isStarted) {
        await this.start(this.cancellation);
      }
      return { entries: await this.measureEmbeddingOrHead(request.id) };
    }
    const { sublayer } = request;
    await this.goTo(sublayer);
    if (request.kind === 'layer') {
      return { entries: await this.measureLayer(this.layerOf(request.id)) };
    }
    const width = await this.measureWidth(sublayer);
    return { entries: [], ...(width === undefined ? {} : { width }) };
  }

  private async measureEmbeddingOrHead(id: string): Promise<SensitivityEntry[]> {
    const { model, settings, timing, device, memoryBytes, threads, folder, onWork } = this.setup;
    const found = chosenEmbeddingAndHead(model.model, settings).find(
      ({ matrix }) => matrix.id === id,
    );
    if (found === undefined) {
      throw new Error(`the model has no embedding or head ${id} to measure`);
    }
    onWork(say`Measuring embedding and head`);
    const { scorer, compression, cancellation } = this;
    const setup = { model: model.model, scorer, compression, timing, device, memoryBytes, threads };
    return measureEmbeddingOrHead(
      { ...setup, folder, cancellation },
      found.matrix,
      found.compressions,
    );
  }

  private async goTo(index: number): Promise<void> {
    if (this.isStarted && this.index === index) {
      return;
    }
    if (!this.isStarted || index < (this.index ?? 0)) {
      await this.start(this.cancellation);
    }
    // A measurement that is interrupted restarts at the first sublayer.
    this.isStarted = false;
    await this.scorer.advance(index);
    this.statistics = await this.pass.statistics(index);
    this.index = index;
    this.isStarted = true;
  }

  private newPass(): CalibrationPass {
    const { fitting, memoryBytes, onWork } = this.setup;
    return new CalibrationPass({
      ...{ executor: this.executor, products: this.products, inputs: fitting, replaces: false },
      gramBytes: gramRoom(memoryBytes),
      afterRun: async () => {
        onWork(say`Reading inputs of linear layers`);
        await checkpoint(this.cancellation);
      },
    });
  }

  private layerOf(id: string): LayerStack {
    const { model, settings } = this.setup;
    this.layers ??= new Map(chosenLayers(model.model, settings).map((layer) => [layer.id, layer]));
    const found = this.layers.get(id);
    if (found === undefined) {
      throw new Error(`the model has no linear layer ${id}`);
    }
    return found;
  }

  private async measureWidth(index: number): Promise<WidthSensitivity | undefined> {
    const { model, settings, folder, onWork } = this.setup;
    const width = chosenWidths(model.model, settings).find((one) => one.index === index);
    const worth = width === undefined ? undefined : await this.widthImportance(width);
    if (width === undefined || worth === undefined) {
      return undefined;
    }
    onWork(say`Measuring widths`);
    const { precision } = settings;
    const setup = { model, scorer: this.scorer, precision, folder };
    return describeWidth(width, await measureWidth(setup, width, worth));
  }

  /** Importance of each channel, group or expert of a sublayer on the fitting inputs. */
  private async widthImportance({
    sublayer,
    width,
  }: OpenWidth): Promise<ArrayLike<number> | undefined> {
    if (width !== undefined) {
      const behind = await this.statistics.get(width.output.weight.name);
      return behind && contributions(width, behind, this.products);
    }
    this.experts ??= await expertSaliency(this.executor, this.setup.fitting, {
      cancellation: this.cancellation,
      progress: ({ stage }) => {
        this.setup.onWork(stage);
      },
    });
    return this.experts
      .find(([first]) => first !== undefined && overlap(first.expert, sublayer))
      ?.map(({ saliency }) => saliency);
  }

  private async measureLayer(layer: LayerStack): Promise<SensitivityEntry[]> {
    const { model, settings, onWork } = this.setup;
    const compressions = expandCompressions(layer, settings.compressions);
    onWork(say`Compressing linear layers`);
    const changes = await this.compress(layer, compressions);
    const steps = changes.map(({ forms }) =>
      model.model.withMatrices(forms).sublayer(layer.sublayer),
    );
    const { precision } = settings;
    const distances = await (precision === 0
      ? this.scorer.distances(steps)
      : this.scorer.estimates(
          steps,
          precision,
          buildLadders(
            compressions,
            changes.map(({ costs }) => costs.outputError),
          ),
        ));
    return compressions.flatMap((compression, i): SensitivityEntry[] => {
      const [costs, distance] = [changes[i]?.costs, distances[i]];
      return costs === undefined || distance === undefined
        ? []
        : [{ ...compression, ...distance, ...costs, ...entryType(compression) }];
    });
  }

  /** Stores a layer in each compression: experts one after the other, so that one of them is in memory at a time. */
  private async compress(
    { layers }: LayerStack,
    compressions: readonly Compression[],
  ): Promise<Change[]> {
    const { folder, timing, onWork } = this.setup;
    const parts = compressions.map((): Part[] => []);
    for (const [number, layer] of layers.entries()) {
      const own = await this.statistics.get(layer.id);
      const all = compressWithEach(
        own === undefined ? this.compression : { ...this.compression, statistics: own },
        layer,
        compressions,
      );
      let place = 0;
      for await (const { encoding, ...sizes } of all) {
        const path = join(folder, `${place}.${number}.safetensors`);
        const forms = await storeEncodings(path, new Map([[layer.id, encoding]]));
        parts[place]?.push({ forms, ...sizes, times: timing(layer, encoding) });
        place++;
        onWork(say`Compressing linear layers`);
        await checkpoint(this.cancellation);
      }
    }
    return parts.map(joinParts);
  }
}

/** Costs of a compression. */
type Costs = Omit<SensitivityEntry, keyof Compression | keyof EstimatedDistance>;

/** Compression of a layer or one of its experts, as stored. */
interface Part extends Pick<Costs, 'error' | 'outputError' | 'parameters' | 'bytes'> {
  readonly forms: ReadonlyMap<string, MatrixEncoding>;
  readonly times: ReturnType<Timing>;
}

/** Compression of a layer that is ready to be measured. */
interface Change {
  readonly forms: ReadonlyMap<string, MatrixEncoding>;
  readonly costs: Costs;
}

/** Joins the experts of a layer. Errors are root mean squares over the experts, those of outputs over reached ones. */
function joinParts(parts: readonly Part[]): Change {
  const outputErrors = parts.flatMap(({ outputError }) => outputError ?? []);
  const total = (value: (part: Part) => number): number =>
    parts.reduce((sum, part) => sum + value(part), 0);
  return {
    forms: new Map(parts.flatMap(({ forms }) => [...forms])),
    costs: {
      error: rootMeanSquare(parts.map(({ error }) => error)),
      ...(outputErrors.length === 0 ? {} : { outputError: rootMeanSquare(outputErrors) }),
      parameters: total(({ parameters }) => parameters),
      bytes: total(({ bytes }) => bytes),
      ...addTimes(parts.map(({ times }) => times)),
    },
  };
}

const rootMeanSquare = (values: readonly number[]): number =>
  values.length === 1
    ? (values[0] ?? 0)
    : Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
