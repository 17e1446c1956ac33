import type { ModelInput } from '../../models/model-input';
import type { GraphPart, Step } from '../../models/layered-model';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { InputStatistics } from './input-statistics';
import { StatisticsAccumulator } from './statistics-accumulator';

/** What a calibration pass runs. */
export interface CalibrationSetup {
  readonly executor: LayeredExecutor;
  readonly products: MatrixProducts;
  readonly inputs: readonly ModelInput[];
  /** Sublayers that the model lacks. */
  readonly removed?: ReadonlySet<number>;
  /**
   * Whether a sublayer may be replaced once its statistics are known. Else the run that they are from
   * takes calibration on, and a sublayer's statistics can be asked for once.
   */
  readonly replaces?: boolean;
  /** Awaited after each run of ONNX Runtime; may throw to stop. */
  readonly afterRun?: () => Promise<void>;
}

/**
 * Takes calibration through a model sublayer by sublayer and tells what went into linear layers on the
 * way. Only the states at one boundary are held, and the statistics of one sublayer.
 */
export class CalibrationPass {
  private states: readonly HiddenState[] | undefined;
  private next = 0;

  public constructor(private readonly setup: CalibrationSetup) {}

  /**
   * Statistics of what goes into the linear layers of sublayer `index`, by their ids; those that share
   * their inputs share them. Sublayers are asked for in ascending order.
   * @throws UserError where what goes in is not finite.
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

  /** Lets calibration go on through `standIn` in the place of sublayer `index`, as what was compressed in it. */
  public async replace(index: number, standIn: Step & { readonly part: GraphPart }): Promise<void> {
    const { executor, afterRun } = this.setup;
    this.states = await executor.through(standIn, await this.statesAt(index), afterRun);
    this.next = index + 1;
  }

  private async statesAt(index: number): Promise<readonly HiddenState[]> {
    const { executor, inputs, removed = new Set(), afterRun } = this.setup;
    if (index < this.next) {
      throw new Error(`calibration is behind sublayer ${index} already`);
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
