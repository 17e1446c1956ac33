import type { ModelInput } from '../../models/model-input';
import type { GraphPart, Step } from '../../models/layered-model';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState, Tensor } from '../../runtime/tensors';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { InputStatistics } from './statistics-accumulator';
import { gramGroups } from './fitting-memory';
import type { GramGroup } from './fitting-memory';
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
  /** Bytes for Gram matrices: sublayers with larger ones, such as MoE layers, are run several times. Unlimited if undefined. */
  readonly gramBytes?: number;
  /** Awaited after each run of ONNX Runtime; may throw to stop. */
  readonly afterRun?: () => Promise<void>;
}

/** Statistics of the linear layers of a sublayer. Layers in model order need the fewest runs. */
export interface SublayerStatistics {
  /** Statistics of a layer's inputs; undefined if no token reached it. Layers with the same inputs share them. */
  readonly get: (id: string) => InputStatistics | undefined | Promise<InputStatistics | undefined>;
}

/**
 * Runs calibration inputs through a model sublayer by sublayer and collects statistics of the linear layers' inputs.
 * Only the states of two boundaries and the statistics of one sublayer, or of some of its experts, are in memory.
 */
export class CalibrationPass {
  private states: readonly HiddenState[] | undefined;
  private next = 0;

  public constructor(private readonly setup: CalibrationSetup) {}

  /**
   * Statistics of the inputs of sublayer `index`'s linear layers, until the next sublayer is requested. Sublayers must be
   * requested in ascending order.
   * @throws UserError if inputs aren't finite
   */
  public async statistics(index: number): Promise<SublayerStatistics> {
    const { executor, products, removed = new Set(), replaces = true, afterRun } = this.setup;
    const { tapped: step, linearLayers } = executor.model.sublayer(index);
    const [first, ...others] = gramGroups(
      linearLayers,
      this.setup.gramBytes ?? Number.POSITIVE_INFINITY,
    );
    const before = await this.statesAt(index);
    const accumulator = new StatisticsAccumulator(products);
    const behind = await executor.tap(
      step,
      before,
      async (taps) => accumulator.add(others.length === 0 ? taps : pickTaps(taps, first)),
      afterRun,
    );
    const isWhole = !removed.has(index) && executor.units.expertsGone(index, removed).length === 0;
    if (!replaces && isWhole) {
      this.states = behind;
      this.next = index + 1;
    }
    let known = await accumulator.finish();
    if (first === undefined || others.length === 0) {
      return known;
    }
    let current = first;
    return {
      get: async (id) => {
        const group = [first, ...others].find(({ ids }) => ids.has(id));
        if (group !== undefined && group !== current) {
          known = new Map();
          const sums = new StatisticsAccumulator(products);
          await executor.tapAgain(
            step,
            before,
            async (taps) => sums.add(pickTaps(taps, group)),
            group.ids,
            afterRun,
          );
          known = await sums.finish();
          current = group;
        }
        return known.get(id);
      },
    };
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

const pickTaps = (
  taps: ReadonlyMap<string, Tensor>,
  group: GramGroup | undefined,
): ReadonlyMap<string, Tensor> => new Map([...taps].filter(([id]) => group?.ids.has(id) === true));
