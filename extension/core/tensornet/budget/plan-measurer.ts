import { join } from 'node:path';
import { checkpoint } from '../../jobs/job';
import type { TensorData } from '../../checkpoints/lazy-tensor';
import type { JobContext, StageProgress } from '../../jobs/job';
import type { MetricName } from '../../metrics/metrics';
import { storeEncodings } from '../../models/encodings/store-encodings';
import type { LayeredModel } from '../../models/layered-model';
import { modelStacks } from '../../models/layer-stacks';
import type { MatrixEncoding, EmbeddingOrHead } from '../../models/matrix-encoding';
import type { ModelInput } from '../../models/model-input';
import { pruneWidth, readWidthPruning } from '../../models/width-pruning/prune-width';
import type { PlannedWidthPruning } from '../../models/width-pruning/width';
import type { OpenedModel } from '../../models/opened-model';
import { overlap } from '../../models/units';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import { compressMatrix } from '../compress-matrix';
import type { CompressionChoice } from '../compression-choice';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import { ChangeScorer } from '../sensitivity/change-scorer';
import type { TokenTimes } from '../sensitivity/sensitivity-profile';
import { compressionKey } from '../sensitivity/expand-compressions';
import { isTiedHead, tiedIds } from '../embedding-and-head-choice';
import { storageDtype } from '../compression-context';
import { CalibrationPass } from '../statistics/calibration-pass';
import { gramRoom, memoryBesideFitting } from '../statistics/fitting-memory';
import { say } from '../../message';
import type { Message } from '../../message';

/** Model, inputs and resources for measuring plans. */
export interface MeasurerSetup {
  readonly model: OpenedModel;
  readonly inputs: readonly ModelInput[];
  /** Inputs that calibrated compressions are fitted to. */
  readonly fittedTo: readonly ModelInput[];
  readonly metric: MetricName;
  readonly seed: number;
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** Existing folder for encodings. */
  readonly folder: string;
  /** Time by `performance.now()` after which no more changes are undone. */
  readonly deadline?: number | undefined;
}

/** Changes of a model that are measured together. */
export interface MeasuredPlan {
  readonly compress: readonly CompressionChoice[];
  /** Ids of sublayers and experts. */
  readonly remove: readonly string[];
  readonly widths: readonly PlannedWidthPruning[];
}

/** Measured effect of a plan on the output. */
export interface PlanMeasurement {
  /** Distance of the model with all changes to the original. */
  readonly distance: number;
  /** Distance without one of the changes, by id of its layer or sublayer. */
  readonly without: ReadonlyMap<string, number>;
  /** Milliseconds per token as shares of the original's, if they are limited and can be measured. */
  readonly times?: TokenTimes | undefined;
}

/** Measures plans by running the models that they describe. */
export class PlanMeasurer {
  private readonly forms = new Map<string, MatrixEncoding>();
  /** Sublayer index of each linear layer, and of each stack of experts. */
  private readonly places: ReadonlyMap<string, number>;
  /** Ids of the linear layers of stacks of experts. */
  private readonly stacks: ReadonlyMap<string, readonly string[]>;
  /** Base models for encodings, by width pruning: the original, or one with width-pruned sublayers. */
  private readonly bases = new Map<string, LayeredModel>();
  /** Embedding and head by id; a tied pair has one entry. */
  private readonly embeddingAndHead: ReadonlyMap<string, EmbeddingOrHead>;
  private readonly products: MatrixProducts;
  private readonly original: LayeredExecutor;
  private reference: readonly HiddenState[] | undefined;
  private lastProgress: StageProgress = { stage: say`Planning`, done: 0, total: 1, unit: 'steps' };
  /** Steps of a plan: layers to compress, then measurements. */
  private steps = { compressed: 0, measurements: 0 };

  public constructor(
    private readonly setup: MeasurerSetup,
    private readonly context: Pick<JobContext, 'cancellation' | 'progress'>,
  ) {
    const { device, memoryBytes } = setup;
    const model: LayeredModel = setup.model.model;
    const stacks = modelStacks(model);
    this.places = new Map(
      stacks.flatMap(({ id: stack, sublayer, layers }) =>
        [stack, ...layers.map(({ id }) => id)].map((id) => [id, sublayer] as const),
      ),
    );
    this.stacks = new Map(
      stacks.map(({ id: stack, layers }) => [stack, layers.map(({ id }) => id)]),
    );
    this.embeddingAndHead = new Map(
      model.embeddingAndHeadMatrices
        .filter((matrix) => !isTiedHead(matrix))
        .map((matrix) => [matrix.id, matrix]),
    );
    this.products = new MatrixProducts(device, memoryBytes);
    this.original = this.createExecutor(model);
    this.bases.set('', model);
  }

  /** Runs the model with all changes, and, if `inTurn`, again without each of them until the deadline. */
  public async measure(plan: MeasuredPlan, inTurn: boolean): Promise<PlanMeasurement> {
    const sublayers = inTurn ? this.setup.model.summary.sublayers.length : 0;
    this.steps = { compressed: 0, measurements: 1 + sublayers };
    this.reference ??= await this.scorer(this.original).start();
    const hasOwnHead = this.hasOwnHead(plan);
    const changed = await this.modelOf(plan, hasOwnHead ? 'all' : 'sublayers');
    const executor = this.createExecutor(changed, hasOwnHead ? undefined : this.original);
    const model = await this.baseModel(plan.widths);
    const forms = this.planForms(plan);
    try {
      const scorer = this.scorer(executor, plan);
      const tell = (done: number): void => {
        this.tell(say`Measuring the plan`, this.steps.compressed + done);
      };
      tell(0);
      const distance = await scorer.distance(await scorer.start(this.reference));
      const without = new Map<string, number>();
      for (const { tensor } of inTurn ? plan.compress : []) {
        const matrix = this.embeddingAndHead.get(tensor);
        if (matrix !== undefined && !this.isLate()) {
          without.set(tensor, await this.withoutEmbeddingOrHead(scorer, model, forms, matrix));
        }
      }
      for (const index of inTurn ? model.summary.sublayers.keys() : []) {
        tell(1 + index);
        if (this.isLate()) {
          break;
        }
        const turns = this.changeIds(index, plan);
        if (turns.length > 0) {
          await scorer.advance(index);
          const steps = turns.map((id) =>
            this.places.has(id)
              ? model.withMatrices(omit(forms, this.layerIds(id))).sublayer(index)
              : this.setup.model.model.sublayer(index),
          );
          const distances = await scorer.distances(steps);
          turns.forEach((id, i) => without.set(id, distances[i]?.distance ?? Number.NaN));
        }
      }
      return { distance, without };
    } finally {
      await executor.dispose();
    }
  }

  /**
   * Model that a plan describes, with its encodings in the folder; removed sublayers are still present.
   * @param rests of the original: the caller may use all of the memory
   */
  public async modelOf(
    plan: MeasuredPlan,
    rests: 'all' | 'sublayers' = 'all',
  ): Promise<LayeredModel> {
    const model = await this.baseModel(plan.widths);
    await this.compress(plan, model);
    await this.original.rest(rests);
    return model.withMatrices(this.planForms(plan));
  }

  public async dispose(): Promise<void> {
    await this.products.dispose();
    await this.original.dispose();
  }

  private isLate(): boolean {
    const { deadline = Number.POSITIVE_INFINITY } = this.setup;
    return performance.now() > deadline;
  }

  /** Width-pruned model, with its tensors in the folder. */
  private async baseModel(widths: readonly PlannedWidthPruning[]): Promise<LayeredModel> {
    const key = widths.map(({ sublayer, remove }) => `${sublayer} ${remove}`).join('\n');
    const known = this.bases.get(key);
    if (known !== undefined) {
      return known;
    }
    const { model: opened, folder } = this.setup;
    const file = join(folder, `widths-${this.bases.size}.safetensors`);
    const { model } = await pruneWidth(opened, readWidthPruning(opened, { widths }), file);
    this.bases.set(key, model);
    return model;
  }

  /** Distance of the plan with an unchanged embedding or head. */
  private async withoutEmbeddingOrHead(
    scorer: ChangeScorer,
    model: LayeredModel,
    forms: ReadonlyMap<string, MatrixEncoding>,
    matrix: EmbeddingOrHead,
  ): Promise<number> {
    const rest = omit(forms, tiedIds(matrix));
    const executor = this.createExecutor(model.withMatrices(rest));
    try {
      return await scorer.distanceWithHead(executor, { reembeds: matrix.place === 'embedding' });
    } finally {
      await executor.dispose();
    }
  }

  /** Ids of the plan's changes in a sublayer: the sublayer if it is removed or width-pruned, otherwise its layers. */
  private changeIds(index: number, { compress, remove, widths }: MeasuredPlan): string[] {
    const { id } = this.setup.model.summary.sublayers[index] ?? { id: '' };
    const isLess = remove.some((unit) => overlap(unit, id));
    return isLess || widths.some(({ sublayer }) => sublayer === id)
      ? [id]
      : compress.map(({ tensor }) => tensor).filter((tensor) => this.places.get(tensor) === index);
  }

  private planForms(plan: MeasuredPlan): Map<string, MatrixEncoding> {
    return new Map(
      plan.compress.flatMap((choice) =>
        this.layerIds(choice.tensor).flatMap((tensor) => {
          const form = this.forms.get(this.encodingKey({ ...choice, tensor }, plan));
          return form === undefined ? [] : [[tensor, form] as const];
        }),
      ),
    );
  }

  /** Ids of the linear layers that a choice applies to: several for a stack of experts. */
  private layerIds(tensor: string): readonly string[] {
    return this.stacks.get(tensor) ?? [tensor];
  }

  /** Key of an encoding; encodings for a width-pruned sublayer have their own. */
  private encodingKey(choice: CompressionChoice, { widths }: Pick<MeasuredPlan, 'widths'>): string {
    const { id } = this.setup.model.summary.sublayers[this.places.get(choice.tensor) ?? -1] ?? {};
    const width = widths.find(({ sublayer }) => sublayer === id)?.remove ?? '';
    return `${choice.tensor} ${compressionKey(choice)} ${width}`;
  }

  /** Computes missing encodings, from statistics of the model that they are used in. */
  private async compress(plan: MeasuredPlan, model: LayeredModel): Promise<void> {
    const { compress: choices } = plan;
    const stage = say`Compressing linear layers`;
    const open = choices
      .flatMap((choice) => this.layerIds(choice.tensor).map((tensor) => ({ ...choice, tensor })))
      .filter((choice) => !this.forms.has(this.encodingKey(choice, plan)));
    this.steps = { ...this.steps, compressed: open.length };
    this.tell(stage, 0);
    if (open.length === 0) {
      return;
    }
    const { fittedTo, seed } = this.setup;
    let done = 0;
    const context = { products: this.products, seed, dtype: storageDtype(model.summary) };
    for (const choice of open) {
      const matrix = this.embeddingAndHead.get(choice.tensor);
      if (matrix !== undefined) {
        await checkpoint(this.context.cancellation);
        const { encoding } = await compressMatrix(context, matrix, choice);
        await this.keep(plan, choice, new Map(tiedIds(matrix).map((id) => [id, encoding])));
        this.tell(stage, ++done);
      }
    }
    const isOriginal = model === this.original.model;
    const executor = isOriginal ? this.original : this.createExecutor(model);
    try {
      const pass = new CalibrationPass({
        executor,
        products: this.products,
        inputs: fittedTo,
        replaces: false,
        gramBytes: gramRoom(this.setup.memoryBytes),
        afterRun: async () => checkpoint(this.context.cancellation),
      });
      const choicesById = new Map(open.map((choice) => [choice.tensor, choice]));
      for (const index of model.summary.sublayers.keys()) {
        const here = model.sublayer(index).linearLayers.flatMap((layer) => {
          const choice = choicesById.get(layer.id);
          return choice === undefined ? [] : [{ choice, layer }];
        });
        if (here.length === 0) {
          continue;
        }
        const statistics = await pass.statistics(index);
        for (const { choice, layer } of here) {
          await checkpoint(this.context.cancellation);
          const own = await statistics.get(layer.id);
          const { encoding } = await compressMatrix(
            own === undefined ? context : { ...context, statistics: own },
            layer,
            choice,
          );
          await this.keep(plan, choice, new Map([[layer.id, encoding]]));
          this.tell(stage, ++done);
        }
      }
    } finally {
      // Executors of width-pruned models would use the same amount of memory again.
      if (!isOriginal) {
        await executor.dispose();
      }
    }
  }

  /** Stores the encoding of a choice; a tied head uses the same encoding. */
  private async keep(
    plan: MeasuredPlan,
    choice: CompressionChoice,
    forms: ReadonlyMap<string, MatrixEncoding<TensorData>>,
  ): Promise<void> {
    const path = join(this.setup.folder, `${this.forms.size}.safetensors`);
    for (const [tensor, form] of await storeEncodings(path, forms)) {
      this.forms.set(this.encodingKey({ ...choice, tensor }, plan), form);
    }
  }

  /** Creates an executor with the memory left by fitting. */
  private createExecutor(model: LayeredModel, around?: LayeredExecutor): LayeredExecutor {
    const { device, memoryBytes, fittedTo } = this.setup;
    const left = memoryBesideFitting(model, memoryBytes, device, fittedTo);
    return new LayeredExecutor(model, device, left, { around });
  }

  /** True if the plan changes the embedding or head; in graphs they belong to the first and last sublayer. */
  private hasOwnHead({ compress }: Pick<MeasuredPlan, 'compress'>): boolean {
    const { emitter } = this.original.model;
    return (
      emitter === undefined || compress.some(({ tensor }) => this.embeddingAndHead.has(tensor))
    );
  }

  private scorer(executor: LayeredExecutor, plan?: MeasuredPlan): ChangeScorer {
    const { inputs, metric } = this.setup;
    const { remove = [], compress = [] } = plan ?? {};
    const removed = new Set(remove.flatMap((id) => executor.units.numberOf(id) ?? []));
    const { cancellation } = this.context;
    const onWork = (): void => {
      // Progress between two steps.
      this.context.progress(this.lastProgress);
    };
    return new ChangeScorer({
      ...{ executor, inputs, metric, removed, cancellation, onWork },
      ...(this.hasOwnHead({ compress }) ? { original: this.original } : {}),
    });
  }

  private tell(stage: Message, done: number): void {
    const total = this.steps.compressed + this.steps.measurements;
    this.lastProgress = { stage, done, total, unit: 'steps' };
    this.context.progress(this.lastProgress);
  }
}

function omit(
  forms: ReadonlyMap<string, MatrixEncoding>,
  ids: readonly string[],
): Map<string, MatrixEncoding> {
  return new Map([...forms].filter(([id]) => !ids.includes(id)));
}
