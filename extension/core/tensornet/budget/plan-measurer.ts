import { join } from 'node:path';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { MetricName } from '../../metrics/metric-names';
import { storeForms } from '../../models/forms/store-forms';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, MatrixForm } from '../../models/matrix-form';
import type { ModelInput } from '../../models/example';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import { compressMatrix } from '../compress-matrix';
import type { CompressionChoice } from '../compression-choice';
import { MatrixProducts } from '../../linear-algebra/matrix-products';
import { ChangeScorer } from '../sensitivity/change-scorer';
import { compressionKey } from '../sensitivity/compressions-of';
import { storageDtype } from '../storage-dtype';
import { CalibrationPass } from '../statistics/calibration-pass';

/** What plans are measured on, and where their forms lie meanwhile. */
export interface MeasurerSetup {
  readonly model: LayeredModel;
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
  /** Ids of sublayers. */
  readonly remove: readonly string[];
}

/** What a plan really does to the output. */
export interface PlanMeasurement {
  /** Distance of the model with all changes to the dense one. */
  readonly distance: number;
  /** The same without one of the changes, by the id of its layer or sublayer. */
  readonly without: ReadonlyMap<string, number>;
}

/** Measures plans by running the model that they describe. */
export class PlanMeasurer {
  private readonly forms = new Map<string, MatrixForm>();
  private readonly layers: ReadonlyMap<string, LinearLayer>;
  private readonly products: MatrixProducts;
  private readonly dense: LayeredExecutor;
  private reference: readonly HiddenState[] | undefined;

  public constructor(
    private readonly setup: MeasurerSetup,
    private readonly context: JobContext,
  ) {
    const { model, device, memoryBytes } = setup;
    this.layers = new Map(
      model.summary.sublayers.flatMap((_, index) =>
        (model.linearLayers?.(index) ?? []).map((layer) => [layer.id, layer] as const),
      ),
    );
    this.products = new MatrixProducts(device, memoryBytes);
    this.dense = new LayeredExecutor(model, device, memoryBytes);
  }

  /** Runs the model with the plan's changes, and once more without each of them if `inTurn`. */
  public async measure(plan: MeasuredPlan, inTurn: boolean): Promise<PlanMeasurement> {
    await this.compress(plan.compress);
    const { model, device, memoryBytes } = this.setup;
    const forms = this.formsOf(plan.compress);
    const changed = model.withMatrices?.(forms) ?? model;
    const executor = new LayeredExecutor(changed, device, memoryBytes);
    try {
      const scorer = this.scorer(executor, plan.remove, 'Measuring the plan');
      const distance = await scorer.distance(await scorer.start(this.reference));
      const without = new Map<string, number>();
      for (const index of inTurn ? model.summary.sublayers.keys() : []) {
        const turns = this.turnsOf(index, plan);
        if (turns.length > 0) {
          await scorer.advance(index);
          const steps = turns.map((id) => {
            const rest = new Map([...forms].filter(([other]) => other !== id));
            return (model.withMatrices?.(rest) ?? model).sublayer(index);
          });
          const distances = await scorer.distances(steps);
          turns.forEach((id, i) => without.set(id, distances[i] ?? Number.NaN));
        }
      }
      return { distance, without };
    } finally {
      await executor.dispose();
    }
  }

  public async dispose(): Promise<void> {
    await this.products.dispose();
    await this.dense.dispose();
  }

  /** Ids of what the plan changes in a sublayer: the sublayer itself where it goes, or its layers. */
  private turnsOf(index: number, { compress, remove }: MeasuredPlan): string[] {
    const { id } = this.setup.model.summary.sublayers[index] ?? { id: '' };
    return remove.includes(id)
      ? [id]
      : compress
          .map(({ tensor }) => tensor)
          .filter((tensor) => this.layers.get(tensor)?.sublayer === index);
  }

  private formsOf(choices: readonly CompressionChoice[]): Map<string, MatrixForm> {
    return new Map(
      choices.flatMap((choice) => {
        const form = this.forms.get(keyOf(choice));
        return form === undefined ? [] : [[choice.tensor, form] as const];
      }),
    );
  }

  /** Computes the forms that are not there yet, on statistics of the dense model. */
  private async compress(choices: readonly CompressionChoice[]): Promise<void> {
    const scorer = this.scorer(this.dense, [], 'Compressing linear layers');
    this.reference ??= await scorer.start();
    const open = choices.filter((choice) => !this.forms.has(keyOf(choice)));
    if (open.length === 0) {
      return;
    }
    const { model, fittedTo, seed, folder } = this.setup;
    const dtype = storageDtype(model.summary);
    const pass = new CalibrationPass({
      executor: this.dense,
      products: this.products,
      inputs: fittedTo,
      afterRun: async () => checkpoint(this.context.cancellation),
    });
    for (const index of model.summary.sublayers.keys()) {
      const here = open.flatMap((choice) => {
        const layer = this.layers.get(choice.tensor);
        return layer?.sublayer === index ? [{ choice, layer }] : [];
      });
      if (here.length === 0) {
        continue;
      }
      const statistics = await pass.statistics(index);
      for (const { choice, layer } of here) {
        await checkpoint(this.context.cancellation);
        const own = statistics.get(layer.id);
        const { form } = await compressMatrix(
          {
            products: this.products,
            seed,
            dtype,
            ...(own === undefined ? {} : { statistics: own }),
          },
          layer,
          choice,
        );
        const path = join(folder, `${this.forms.size}.safetensors`);
        const stored = await storeForms(path, new Map([[layer.id, form]]));
        const [kept] = stored.values();
        if (kept !== undefined) {
          this.forms.set(keyOf(choice), kept);
        }
      }
    }
  }

  private scorer(
    executor: LayeredExecutor,
    remove: readonly string[],
    stage: string,
  ): ChangeScorer {
    const { inputs, metric } = this.setup;
    const removed = new Set(remove.flatMap((id) => executor.units.numberOf(id) ?? []));
    const { cancellation } = this.context;
    const onWork = (): void => {
      this.context.progress({ stage, done: 0, total: 1, unit: 'steps' });
    };
    return new ChangeScorer({ executor, inputs, metric, removed, cancellation, onWork });
  }
}

function keyOf(choice: CompressionChoice): string {
  return `${choice.tensor} ${compressionKey(choice)}`;
}
