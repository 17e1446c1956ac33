import type { ModelInput } from '../../models/model-input';
import type { GraphPart, Step } from '../../models/layered-model';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { InputStatistics } from './input-statistics';
import { StatisticsAccumulator } from './statistics-accumulator';

/** Executor and inputs of a calibration pass. */
export interface CalibrationSetup {
  readonly executor: LayeredExecutor;
  readonly products: MatrixProducts;
  readonly inputs: readonly ModelInput[];
  /** Indices of sublayers that are removed from the model. */
  readonly removed?: ReadonlySet<number>;
  /**
   * True if a sublayer may be replaced after its statistics are known. Otherwise the run that collects the statistics
   * also advances the states, and each sublayer's statistics can be requested once.
   */
  readonly replaces?: boolean;
  /** Awaited after each run of ONNX Runtime; may throw to stop. */
  readonly afterRun?: () => Promise<void>;
}

/**
 * Runs calibration inputs through a model sublayer by sublayer and collects statistics of the linear layers' inputs.
 * Only the states of one boundary and the statistics of one sublayer are in memory.
 */
export class CalibrationPass {
  private states: readonly HiddenState[] | undefined;
  private next = 0;

  public constructor(private readonly setup: CalibrationSetup) {}

  /**
   * Statistics of the inputs of sublayer `index`'s linear layers, by id; layers with the same inputs share them.
   * Sublayers must be requested in ascending order.
   * @throws UserError if inputs aren't finite
   */
  public async statistics(index: number): Promise<ReadonlyMap<string, InputStatistics>> {
    const { executor, products, removed = new Set(), replaces = true, afterRun } = this.setup;
    const step = executor.model.sublayer(index).tapped;
    const accumulator = new StatisticsAccumulator(products);
    const behind = await executor.tap(
      step,
      await this.statesAt(index),
      async (taps) => accumulator.add(taps),
      afterRun,
    );
    const isWhole = !removed.has(index) && executor.units.expertsGone(index, removed).length === 0;
    if (!replaces && isWhole) {
      this.states = behind;
      this.next = index + 1;
    }
    return accumulator.finish();
  }

  /** Advances the states through `standIn` instead of sublayer `index`, with its compressed layers. */
  public async replace(index: number, standIn: Step & { readonly part: GraphPart }): Promise<void> {
    const { executor, afterRun } = this.setup;
    this.states = await executor.through(standIn, await this.statesAt(index), afterRun);
    this.next = index + 1;
  }

  /** States after the last sublayer. */
  public async finalStates(): Promise<readonly HiddenState[]> {
    return this.statesAt(this.setup.executor.model.summary.sublayers.length);
  }

  private async statesAt(index: number): Promise<readonly HiddenState[]> {
    const { executor, inputs, removed = new Set(), afterRun } = this.setup;
    if (index < this.next) {
      throw new Error(`calibration has already passed sublayer ${index}`);
    }
    if (this.states === undefined) {
      const states: HiddenState[] = [];
      for (const input of inputs) {
        states.push(await executor.embed(input));
        await afterRun?.();
      }
      this.states = states;
    }
    for (; this.next < index; this.next++) {
      this.states = await executor.pass(this.next, this.states, removed, afterRun);
    }
    return this.states;
  }
}
