import { join } from 'node:path';
import { checkpoint } from '../../jobs/job';
import type { TensorData } from '../../checkpoints/tensor-data';
import type { JobContext, StageProgress } from '../../jobs/job';
import type { MetricName } from '../../metrics/metrics';
import { storeForms } from '../../models/forms/store-forms';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding, OuterMatrix } from '../../models/matrix-encoding';
import type { ModelInput } from '../../models/model-input';
import { narrowModel, readNarrowing } from '../../models/narrow/narrow-model';
import type { PlannedNarrowing } from '../../models/narrow/planned-narrowing';
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
import { compressionKey } from '../sensitivity/compressions-of';
import { isTiedHead, outerIds } from '../outer-choice';
import { storageDtype } from '../storage-dtype';
import { CalibrationPass } from '../statistics/calibration-pass';
import { memoryBesideFitting } from '../statistics/fitting-memory';
import { say } from '../../message';
import type { Message } from '../../message';

/** What plans are measured on, and where their forms lie meanwhile. */
export interface MeasurerSetup {
  readonly model: OpenedModel;
  readonly inputs: readonly ModelInput[];
  /** What compressions that look at inputs are fitted to. */
  readonly fittedTo: readonly ModelInput[];
  readonly metric: MetricName;
  readonly seed: number;
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** A folder that is there. */
  readonly folder: string;
}

/** Changes of a model that are measured together. */
export interface MeasuredPlan {
  readonly compress: readonly CompressionChoice[];
  /** Ids of sublayers and experts. */
  readonly remove: readonly string[];
  readonly narrow: readonly PlannedNarrowing[];
}

/** What a plan really does to the output. */
export interface PlanMeasurement {
  /** Distance of the model with all changes to the original. */
  readonly distance: number;
  /** The same without one of the changes, by the id of its layer or sublayer. */
  readonly without: ReadonlyMap<string, number>;
  /** Milliseconds of its tokens as shares of the original's, where they are limited and can be measured. */
  readonly times?: TokenTimes | undefined;
}

/** Measures plans by running the model that they describe. */
export class PlanMeasurer {
  private readonly forms = new Map<string, MatrixEncoding>();
  /** The place of the sublayer of each linear layer. */
  private readonly places: ReadonlyMap<string, number>;
  /** The models that forms are put into, by what is narrowed: the original, or one with narrower sublayers. */
  private readonly bases = new Map<string, LayeredModel>();
  /** Embedding and head by their ids, once where they are one matrix. */
  private readonly outer: ReadonlyMap<string, OuterMatrix>;
  private readonly products: MatrixProducts;
  private readonly original: LayeredExecutor;
  private reference: readonly HiddenState[] | undefined;
  private told: StageProgress = { stage: say`Planning`, done: 0, total: 1, unit: 'steps' };
  /** Steps of a plan: layers compressed for it, and measurements behind that. */
  private steps = { compressed: 0, measurements: 0 };

  public constructor(
    private readonly setup: MeasurerSetup,
    private readonly context: Pick<JobContext, 'cancellation' | 'progress'>,
  ) {
    const { device, memoryBytes } = setup;
    const model: LayeredModel = setup.model.model;
    this.places = new Map(
      model.summary.sublayers.flatMap((_, index) =>
        model.sublayer(index).linearLayers.map(({ id }) => [id, index] as const),
      ),
    );
    this.outer = new Map(
      model.outerMatrices
        .filter((matrix) => !isTiedHead(matrix))
        .map((matrix) => [matrix.id, matrix]),
    );
    this.products = new MatrixProducts(device, memoryBytes);
    this.original = this.executorOf(model);
    this.bases.set('', model);
  }

  /** Runs the model with the plan's changes, and once more without each of them if `inTurn`. */
  public async measure(plan: MeasuredPlan, inTurn: boolean): Promise<PlanMeasurement> {
    const sublayers = inTurn ? this.setup.model.summary.sublayers.length : 0;
    this.steps = { compressed: 0, measurements: 1 + sublayers };
    this.reference ??= await this.scorer(this.original).start();
    const hasOwnHead = this.hasOwnHead(plan);
    const changed = await this.modelOf(plan, hasOwnHead ? 'all' : 'sublayers');
    const executor = this.executorOf(changed, hasOwnHead ? undefined : this.original);
    const model = await this.baseOf(plan.narrow);
    const forms = this.formsOf(plan);
    try {
      const scorer = this.scorer(executor, plan);
      const tell = (done: number): void => {
        this.tell(say`Measuring the plan`, this.steps.compressed + done);
      };
      tell(0);
      const distance = await scorer.distance(await scorer.start(this.reference));
      const without = new Map<string, number>();
      for (const { tensor } of inTurn ? plan.compress : []) {
        const matrix = this.outer.get(tensor);
        if (matrix !== undefined) {
          without.set(tensor, await this.withoutOuter(scorer, model, forms, matrix));
        }
      }
      for (const index of inTurn ? model.summary.sublayers.keys() : []) {
        tell(1 + index);
        const turns = this.turnsOf(index, plan);
        if (turns.length > 0) {
          await scorer.advance(index);
          const steps = turns.map((id) =>
            this.places.has(id)
              ? model.withMatrices(omit(forms, [id])).sublayer(index)
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
   * The model that a plan describes, its forms in the folder; what the plan removes is still in it.
   * @param rests of the original: whoever runs the plan's model may take all of the memory
   */
  public async modelOf(
    plan: MeasuredPlan,
    rests: 'all' | 'sublayers' = 'all',
  ): Promise<LayeredModel> {
    const model = await this.baseOf(plan.narrow);
    await this.compress(plan, model);
    await this.original.rest(rests);
    return model.withMatrices(this.formsOf(plan));
  }

  public async dispose(): Promise<void> {
    await this.products.dispose();
    await this.original.dispose();
  }

  /** The model with narrower sublayers, its tensors in the folder. */
  private async baseOf(narrow: readonly PlannedNarrowing[]): Promise<LayeredModel> {
    const key = narrow.map(({ sublayer, remove }) => `${sublayer} ${remove}`).join('\n');
    const known = this.bases.get(key);
    if (known !== undefined) {
      return known;
    }
    const { model: opened, folder } = this.setup;
    const file = join(folder, `narrow-${this.bases.size}.safetensors`);
    const { model } = await narrowModel(opened, readNarrowing(opened, { narrow }), file);
    this.bases.set(key, model);
    return model;
  }

  /** The distance of a plan whose embedding or head stays dense. */
  private async withoutOuter(
    scorer: ChangeScorer,
    model: LayeredModel,
    forms: ReadonlyMap<string, MatrixEncoding>,
    matrix: OuterMatrix,
  ): Promise<number> {
    const rest = omit(forms, outerIds(matrix));
    const executor = this.executorOf(model.withMatrices(rest));
    try {
      return await scorer.outerDistance(executor, { reembeds: matrix.place === 'embedding' });
    } finally {
      await executor.dispose();
    }
  }

  /** Ids of what the plan changes in a sublayer: the sublayer itself where it goes or has less in it, or its layers. */
  private turnsOf(index: number, { compress, remove, narrow }: MeasuredPlan): string[] {
    const { id } = this.setup.model.summary.sublayers[index] ?? { id: '' };
    const isLess = remove.some((unit) => overlap(unit, id));
    return isLess || narrow.some(({ sublayer }) => sublayer === id)
      ? [id]
      : compress.map(({ tensor }) => tensor).filter((tensor) => this.places.get(tensor) === index);
  }

  private formsOf(plan: MeasuredPlan): Map<string, MatrixEncoding> {
    return new Map(
      plan.compress.flatMap((choice) => {
        const form = this.forms.get(this.keyOf(choice, plan));
        return form === undefined ? [] : [[choice.tensor, form] as const];
      }),
    );
  }

  /** Tells forms apart: those of a narrower sublayer are others. */
  private keyOf(choice: CompressionChoice, { narrow }: Pick<MeasuredPlan, 'narrow'>): string {
    const { id } = this.setup.model.summary.sublayers[this.places.get(choice.tensor) ?? -1] ?? {};
    const width = narrow.find(({ sublayer }) => sublayer === id)?.remove ?? '';
    return `${choice.tensor} ${compressionKey(choice)} ${width}`;
  }

  /** Computes the forms that are not there yet, on statistics of the model that they are put into. */
  private async compress(plan: MeasuredPlan, model: LayeredModel): Promise<void> {
    const { compress: choices } = plan;
    const stage = say`Compressing linear layers`;
    const open = choices.filter((choice) => !this.forms.has(this.keyOf(choice, plan)));
    this.steps = { ...this.steps, compressed: open.length };
    this.tell(stage, 0);
    if (open.length === 0) {
      return;
    }
    const { fittedTo, seed } = this.setup;
    let done = 0;
    const context = { products: this.products, seed, dtype: storageDtype(model.summary) };
    for (const choice of open) {
      const matrix = this.outer.get(choice.tensor);
      if (matrix !== undefined) {
        await checkpoint(this.context.cancellation);
        const { form } = await compressMatrix(context, matrix, choice);
        await this.keep(plan, choice, new Map(outerIds(matrix).map((id) => [id, form])));
        this.tell(stage, ++done);
      }
    }
    const isOriginal = model === this.original.model;
    const executor = isOriginal ? this.original : this.executorOf(model);
    try {
      const pass = new CalibrationPass({
        executor,
        products: this.products,
        inputs: fittedTo,
        replaces: false,
        afterRun: async () => checkpoint(this.context.cancellation),
      });
      for (const index of model.summary.sublayers.keys()) {
        const here = model
          .sublayer(index)
          .linearLayers.flatMap((layer) =>
            open.flatMap((choice) => (choice.tensor === layer.id ? [{ choice, layer }] : [])),
          );
        if (here.length === 0) {
          continue;
        }
        const statistics = await pass.statistics(index);
        for (const { choice, layer } of here) {
          await checkpoint(this.context.cancellation);
          const own = statistics.get(layer.id);
          const { form } = await compressMatrix(
            own === undefined ? context : { ...context, statistics: own },
            layer,
            choice,
          );
          await this.keep(plan, choice, new Map([[layer.id, form]]));
          this.tell(stage, ++done);
        }
      }
    } finally {
      // One for each model that was narrowed would take all of the memory again.
      if (!isOriginal) {
        await executor.dispose();
      }
    }
  }

  /** Keeps the form of a choice; a head that is the embedding has the same, by an equal choice. */
  private async keep(
    plan: MeasuredPlan,
    choice: CompressionChoice,
    forms: ReadonlyMap<string, MatrixEncoding<TensorData>>,
  ): Promise<void> {
    const path = join(this.setup.folder, `${this.forms.size}.safetensors`);
    for (const [tensor, form] of await storeForms(path, forms)) {
      this.forms.set(this.keyOf({ ...choice, tensor }, plan), form);
    }
  }

  /** Runs a model, also beside what compressions are fitted to. */
  private executorOf(model: LayeredModel, around?: LayeredExecutor): LayeredExecutor {
    const { device, memoryBytes, fittedTo } = this.setup;
    const left = memoryBesideFitting(model, memoryBytes, device, fittedTo);
    return new LayeredExecutor(model, device, left, { around });
  }

  /** Whether the plan changes embedding or head; those of a graph come with its first and last sublayer. */
  private hasOwnHead({ compress }: Pick<MeasuredPlan, 'compress'>): boolean {
    const { emitter } = this.original.model;
    return emitter === undefined || compress.some(({ tensor }) => this.outer.has(tensor));
  }

  private scorer(executor: LayeredExecutor, plan?: MeasuredPlan): ChangeScorer {
    const { inputs, metric } = this.setup;
    const { remove = [], compress = [] } = plan ?? {};
    const removed = new Set(remove.flatMap((id) => executor.units.numberOf(id) ?? []));
    const { cancellation } = this.context;
    const onWork = (): void => {
      // A sign of life between two steps.
      this.context.progress(this.told);
    };
    return new ChangeScorer({
      ...{ executor, inputs, metric, removed, cancellation, onWork },
      ...(this.hasOwnHead({ compress }) ? { original: this.original } : {}),
    });
  }

  private tell(stage: Message, done: number): void {
    const total = this.steps.compressed + this.steps.measurements;
    this.told = { stage, done, total, unit: 'steps' };
    this.context.progress(this.told);
  }
}

function omit(
  forms: ReadonlyMap<string, MatrixEncoding>,
  ids: readonly string[],
): Map<string, MatrixEncoding> {
  return new Map([...forms].filter(([id]) => !ids.includes(id)));
}
