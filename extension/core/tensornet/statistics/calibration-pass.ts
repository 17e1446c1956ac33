import type { ModelInput } from '../../models/model-input';
import type { GraphPart, Step } from '../../models/layered-model';
import type { LayeredExecutor, TapObserver } from '../../runtime/layered-executor';
import { floatsIn } from '../../runtime/tensors';
import type { HiddenState, Tensor } from '../../runtime/tensors';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { Rows } from '../../linear-algebra/matrix-source';
import type { InputStatistics } from './statistics-accumulator';
import { areComparable, gramGroups } from './fitting-memory';
import type { GramGroup } from './fitting-memory';
import { StatisticsAccumulator, subtract } from './statistics-accumulator';

/** Executor and inputs of a calibration pass. */
export interface CalibrationSetup {
  readonly executor: LayeredExecutor;
  readonly products: MatrixProducts;
  readonly inputs: readonly ModelInput[];
  /**
   * States of the original model before the first sublayer, for each input. If given, they pass through the original
   * sublayers, and statistics say how the inputs of linear layers differ, except in MoE layers.
   */
  readonly originals?: readonly HiddenState[];
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
  private originals: readonly HiddenState[];
  /** Sublayer that the originals are in front of. */
  private originalsAt = 0;

  public constructor(private readonly setup: CalibrationSetup) {
    this.originals = setup.originals ?? [];
  }

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
      this.originals.length > 0,
    );
    const before = await this.statesAt(index);
    const isPaired = this.isPaired(index);
    const states = isPaired ? this.withOriginals(before) : before;
    const originals = new Set(this.originals);
    const collect = (group: GramGroup | undefined): StatisticsCollector =>
      isPaired
        ? new PairCollector(this.setup, index, originals, group)
        : new InputCollector(products, group);
    const collector = collect(others.length === 0 ? undefined : first);
    const behind = await executor.tap(step, states, collector.observe, afterRun);
    if (isPaired) {
      this.takeOriginals(index, behind);
    }
    const isWhole = !removed.has(index) && executor.units.expertsGone(index, removed).length === 0;
    if (!replaces && isWhole) {
      this.states = isPaired ? behind.filter((_, i) => i % 2 === 1) : behind;
      this.next = index + 1;
    }
    let known = await collector.finish();
    if (first === undefined || others.length === 0) {
      return known;
    }
    let current = first;
    return {
      get: async (id) => {
        const group = [first, ...others].find(({ ids }) => ids.has(id));
        if (group !== undefined && group !== current) {
          known = new Map();
          const again = collect(group);
          await executor.tapAgain(step, states, again.observe, group.ids, afterRun);
          known = await again.finish();
          current = group;
        }
        return known.get(id);
      },
    };
  }

  /** Advances the states through `standIn` instead of sublayer `index`, with its compressed layers. */
  public async replace(index: number, standIn: Step & { readonly part: GraphPart }): Promise<void> {
    const { executor, afterRun } = this.setup;
    const before = await this.statesAt(index);
    if (this.isPaired(index) && this.originalsAt === index) {
      // By the same run as for statistics, so that a resumed job has the same states.
      const states = this.withOriginals(before);
      const { tapped } = executor.model.sublayer(index);
      this.takeOriginals(index, await executor.tap(tapped, states, ignore, afterRun));
    }
    this.states = await executor.through(standIn, before, afterRun);
    this.next = index + 1;
  }

  /** True if statistics of the sublayer compare the inputs of linear layers with those of the original model. */
  private isPaired(index: number): boolean {
    const { linearLayers } = this.setup.executor.model.sublayer(index);
    return this.originals.length > 0 && areComparable(linearLayers);
  }

  /** The state of the original model in front of each state. */
  private withOriginals(states: readonly HiddenState[]): readonly HiddenState[] {
    return states.flatMap((state, i) => [this.originals[i] ?? state, state]);
  }

  private takeOriginals(index: number, behind: readonly HiddenState[]): void {
    this.originals = behind.filter((_, i) => i % 2 === 0);
    this.originalsAt = index + 1;
  }

  /** States after the last sublayer, and those of the original model, if it is run too. */
  public async finalStates(): Promise<{
    readonly states: readonly HiddenState[];
    readonly originals: readonly HiddenState[];
  }> {
    const states = await this.statesAt(this.setup.executor.model.summary.sublayers.length);
    return { states, originals: this.originals };
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
      if (executor.model.prologue.joinsExamples) {
        // The same side values, so that both can be in one run.
        this.originals = this.originals.map(({ values, side }, i) => ({
          values,
          side: states[i]?.side ?? side,
        }));
      }
    }
    for (; this.next < index; this.next++) {
      this.states = await executor.pass(this.next, this.states, removed, afterRun);
    }
    for (; this.originals.length > 0 && this.originalsAt < index; this.originalsAt++) {
      this.originals = await executor.pass(this.originalsAt, this.originals, removed, afterRun);
    }
    return this.states;
  }
}

const ignore: TapObserver = async () => {
  // Only the states are needed.
};

/** Collects statistics from the taps of a run. */
interface StatisticsCollector {
  readonly observe: TapObserver;
  finish(): Promise<ReadonlyMap<string, InputStatistics>>;
}

class InputCollector implements StatisticsCollector {
  private readonly accumulator: StatisticsAccumulator;

  /** @param group layers that are collected; all if undefined */
  public constructor(
    products: MatrixProducts,
    private readonly group: GramGroup | undefined,
  ) {
    this.accumulator = new StatisticsAccumulator(products);
  }

  public readonly observe: TapObserver = async (taps) =>
    this.accumulator.add(pickTaps(taps, this.group));

  public async finish(): Promise<ReadonlyMap<string, InputStatistics>> {
    return this.accumulator.finish();
  }
}

/** Collects statistics from runs in which the state of the original model precedes each state. */
class PairCollector implements StatisticsCollector {
  private readonly accumulator: StatisticsAccumulator;
  private readonly streamName: string;
  /** Layers whose outputs are added to the residual stream, and their number of outputs. */
  private readonly streamWidths: ReadonlyMap<string, number>;
  private original: StateInputs | undefined;

  public constructor(
    private readonly setup: CalibrationSetup,
    index: number,
    private readonly originals: ReadonlySet<HiddenState>,
    private readonly group: GramGroup | undefined,
  ) {
    this.accumulator = new StatisticsAccumulator(setup.products);
    const { linearLayers, streamNames } = setup.executor.model.sublayer(index);
    this.streamName = streamNames.before;
    this.streamWidths = new Map(
      linearLayers.flatMap(({ id, out, addsToStream }) =>
        addsToStream === true ? [[id, out] as const] : [],
      ),
    );
  }

  public readonly observe: TapObserver = async (taps, states) => {
    const picked = pickTaps(taps, this.group);
    for (const [i, state] of states.entries()) {
      const own = await this.inputsOf(state, picked, i, states.length);
      if (this.originals.has(state)) {
        this.original = own;
      } else if (this.original !== undefined) {
        const { inputs, stream } = this.original;
        this.original = undefined;
        const changes = subtract(stream, own.stream);
        const layers = [...this.streamWidths].filter(
          ([id, out]) => changes.length === (own.inputs.get(id)?.count ?? 0) * out,
        );
        const streamChanges = new Map(layers.map(([id]) => [id, changes]));
        await this.accumulator.addPair(own.inputs, inputs, streamChanges);
      }
    }
  };

  public async finish(): Promise<ReadonlyMap<string, InputStatistics>> {
    return this.accumulator.finish();
  }

  /** Rows of the taps of one of `count` states in a run. */
  private async inputsOf(
    state: HiddenState,
    taps: ReadonlyMap<string, Tensor>,
    index: number,
    count: number,
  ): Promise<StateInputs> {
    const parts = new Map<Tensor, Rows>();
    for (const tensor of new Set(taps.values())) {
      const size = tensor.size / count;
      const length = tensor.dims.at(-1) ?? 1;
      const numbers = floatsIn(tensor).subarray(index * size, (index + 1) * size);
      parts.set(tensor, { count: size / length, length, numbers });
    }
    const inputs = [...taps].flatMap(([id, tensor]) => {
      const rows = parts.get(tensor);
      return rows === undefined ? [] : [[id, rows] as const];
    });
    const { values } = await this.setup.executor.states.toHost(state);
    const stream = values[this.streamName];
    return {
      inputs: new Map(inputs),
      stream: stream === undefined ? new Float32Array() : floatsIn(stream),
    };
  }
}

/** Inputs of linear layers and the residual stream of a state. */
interface StateInputs {
  readonly inputs: ReadonlyMap<string, Rows>;
  /** [rows, width] */
  readonly stream: Float32Array;
}

/** The taps of a group's layers; all without a group. */
const pickTaps = (
  taps: ReadonlyMap<string, Tensor>,
  group: GramGroup | undefined,
): ReadonlyMap<string, Tensor> =>
  group === undefined ? taps : new Map([...taps].filter(([id]) => group.ids.has(id)));
