import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { GraphBuilder } from '../onnx/graph-builder';
import { readIds } from '../models/example';
import type { ModelInput } from '../models/model-input';
import type {
  GraphPart,
  LayeredModel,
  RoutedPart,
  RoutedSteps,
  RunnableSublayer,
  Step,
  TappedStep,
} from '../models/layered-model';
import { routedNames } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import type { ExpertSummary } from '../models/model-summary';
import type { RunningCosts } from '../models/transformer/tapped-part';
import { RemovableUnits } from '../models/units';
import { UserError } from '../user-error';
import type { DeviceName } from './device';
import { divideMemory, privateBytes, MemoryBudget, streamedBytes } from './memory-shares';
import type { MemoryShares } from './memory-shares';
import type { SessionOptions } from './session';
import { SessionPool } from './session-pool';
import type { Openings, SessionRecipe } from './session-pool';
import { splitIntoBatches } from './states/batches';
import { RoutedRows, States } from './states/states';
import type { StateOfRow } from './states/states';
import { DeviceStates, keepsOutputs } from './states/device-states';
import {
  keepState,
  maskFeed,
  throwMissingInput,
  pick,
  collectTensors,
  valuesAfter,
} from './step-values';
import { emptyAsDeclared, exampleTensor, floatsIn, stateBytes, outputTensor } from './tensors';
import type { HiddenState, Tensors } from './tensors';
import { say } from '../message';

/** A graph that the caller makes, which declares its inputs and outputs itself. */
export interface OwnGraph extends Pick<SessionRecipe, 'keepMemory' | 'stays'> {
  readonly key: string;
  readonly build: (graph: GraphBuilder) => void;
}

/** A graph with parts of the model. */
export interface Readout {
  readonly key: string;
  /** Memory of the weights, and whether run memory is reused and outputs stay on the device. */
  readonly costs: RunningCosts & Pick<SessionRecipe, 'keepMemory' | 'stays'>;
  readonly build: (graph: GraphBuilder, emitter: ModelEmitter) => void;
}

/**
 * Receives the inputs of linear layers by id, float32 [rows, in].
 * @param states the states of the run, with equally many rows each; empty if the rows are those sent to an expert
 */
export type TapObserver = (
  inputs: ReadonlyMap<string, Tensor>,
  states: readonly HiddenState[],
) => Promise<void>;

/**
 * Awaited after each run of ONNX Runtime, which blocks the thread; throws to stop.
 * @param share finished share of the step, if its weights are read in parts
 */
export type AfterRun = (share?: number) => Promise<void>;

/** Receives the weighted output [rows, hiddenSize] of an expert for some of the rows routed to it, from any state. */
type ExpertObserver = (expert: number, output: Tensor, stateOf: StateOfRow) => void;

/** Options of running one step. */
interface StepOptions {
  readonly afterRun?: AfterRun | undefined;
  /** Experts to leave out, per state. */
  readonly without?: readonly (readonly number[])[];
  /** True if the session is created for this walk only. */
  readonly once?: boolean;
  readonly observe?: TapObserver | undefined;
  /** Linear layers that are observed; experts without any are not run. All if undefined. */
  readonly observed?: ReadonlySet<string>;
  readonly observeExpert?: ExpertObserver;
}

interface BatchOptions {
  readonly without: readonly (readonly number[])[];
  /** Collects inputs that the caller must release. */
  readonly held: Tensor[];
  /** Inputs that are neither values of the states nor side values. */
  readonly further?: Tensors;
}

/** Options of creating and sharing sessions. */
interface ExecutorOptions extends Pick<SessionOptions, 'threads' | 'asItStands'> {
  /**
   * Executor of a model with the same embedding and head on the same device, used for everything outside the sublayers.
   */
  readonly around?: LayeredExecutor | undefined;
  /** See {@link LayeredExecutor.roundsHead}. */
  readonly roundsHead?: boolean;
}

/**
 * Sublayers that don't fit in memory together. The last ones are kept: a pass of a search begins at the first sublayer that was
 * removed.
 * @param own private bytes of each
 */
function chooseStreamed(
  steps: readonly Pick<RunnableSublayer, 'routed'>[],
  own: readonly number[],
  keptBytes: number,
): ReadonlySet<number> {
  const streamed = new Set<number>();
  let room = keptBytes;
  for (let index = steps.length - 1; index >= 0; index--) {
    const bytes = own[index] ?? 0;
    // MoE layers are read expert by expert.
    if (steps[index]?.routed !== undefined || bytes > room) {
      streamed.add(index);
    } else {
      room -= bytes;
    }
  }
  return streamed;
}

/** Expected share of the experts of a MoE layer that some tokens reach, if routers send them to all experts equally. */
const reachedShare = (
  experts: Pick<ExpertSummary, 'count' | 'perToken'> | undefined,
  tokens: number,
): number => (experts === undefined ? 1 : 1 - (1 - experts.perToken / experts.count) ** tokens);

/** Share of the state memory for expert rows. */
const routedShare = 0.5;

async function showTaps(
  given: InferenceSession.OnnxValueMapType,
  taps: ReadonlyMap<string, string> | undefined,
  observe: TapObserver | undefined,
  states: readonly HiddenState[] = [],
): Promise<void> {
  if (taps !== undefined && observe !== undefined) {
    const inputs = [...taps].map(([id, name]) => [id, outputTensor(given, name)] as const);
    await observe(new Map(inputs), states);
  }
}

/** Runs a layered model piece by piece over hidden states in main memory or on the device. */
export class LayeredExecutor {
  private readonly pool: SessionPool;
  /** Sessions that every walk needs: what is around the sublayers, and graphs of callers. */
  private readonly embeddingAndHeadPool: SessionPool;
  private readonly ownsEmbeddingAndHeadPool: boolean;
  /** Side inputs by sequence length, if they depend on nothing else. */
  private readonly sides = new Map<number, Tensors>();
  private evaluationCount = 0;
  /** Storage of hidden states. */
  public readonly states: States;
  /** Removable units of the model. */
  public readonly units: RemovableUnits;
  public readonly shares: MemoryShares;
  /** Free memory for the original's logits. */
  public readonly originalRoom: MemoryBudget;
  /** True if all sessions fit in memory; otherwise the rest is recreated for each pass. */
  public readonly keepsSessions: boolean;
  /** Sublayers whose sessions are reopened for each pass. */
  public readonly streamed: ReadonlySet<number>;
  /** True if logits of a sample of ids are computed from rows of the head rounded to int8. */
  public readonly roundsHead: boolean;

  public constructor(
    public readonly model: LayeredModel,
    public readonly device: DeviceName,
    memoryBytes: number,
    { around, roundsHead = false, ...sessions }: ExecutorOptions = {},
  ) {
    this.roundsHead = roundsHead;
    model.requireRunnable();
    this.units = new RemovableUnits(model.summary);
    this.shares = divideMemory(model, memoryBytes, device, around === undefined);
    this.originalRoom = new MemoryBudget(this.shares.originalBytes);
    const { sublayerBytes, headBytes } = this.shares;
    const steps = model.summary.sublayers.map((_, index) => model.sublayer(index));
    const own = steps.map(({ part }) => privateBytes(part, device));
    const ownBytes = own.reduce((sum, bytes) => sum + bytes, 0);
    this.keepsSessions = ownBytes <= sublayerBytes;
    // A streamed session needs room next to those that are kept.
    const streamed = this.keepsSessions
      ? 0
      : Math.max(...steps.map((step) => streamedBytes(step, device)));
    const where = { ...sessions, device };
    const stay =
      keepsOutputs(device) && model.emitter !== undefined && model.prologue.joinsExamples;
    this.states = new States(stay ? new DeviceStates(device) : undefined);
    const keptBytes = Math.max(0, sublayerBytes - streamed);
    this.streamed = this.keepsSessions ? new Set() : chooseStreamed(steps, own, keptBytes);
    this.pool = new SessionPool(where, {
      bytes: keptBytes,
      repackedBytes: Math.max(0, sublayerBytes - ownBytes),
    });
    this.ownsEmbeddingAndHeadPool = around === undefined;
    this.embeddingAndHeadPool =
      around?.embeddingAndHeadPool ??
      new SessionPool(where, { bytes: Number.POSITIVE_INFINITY, repackedBytes: headBytes });
  }

  /** Number and time of opened sublayer sessions. */
  public get openings(): Openings {
    return this.pool.openings;
  }

  /**
   * Private bytes of the weights that passes through the sublayers open again. Experts that no token reaches aren't opened.
   * @param sublayerTokens tokens through one sublayer, summed over sublayers and passes
   */
  public openedBytes(passes: number, sublayerTokens: number): number {
    const { sublayers } = this.model.summary;
    const tokens = sublayerTokens / Math.max(1, sublayers.length * passes);
    return [...this.streamed].reduce((sum, index) => {
      const { part, routed } = this.model.sublayer(index);
      const experts = routed?.experts ?? [];
      const own = experts.reduce((all, one) => all + privateBytes(one.part, this.device), 0);
      const unreached = own * (1 - reachedShare(sublayers[index]?.experts, tokens));
      return sum + passes * (privateBytes(part, this.device) - unreached);
    }, 0);
  }

  /** Sublayer evaluations so far: one sublayer run over one example. */
  public get evaluations(): number {
    return this.evaluationCount;
  }

  /** The state of one example in front of the first sublayer. */
  public async embed(input: ModelInput): Promise<HiddenState> {
    const { prologue, summary } = this.model;
    const example = input instanceof Int32Array ? readIds(this.model, input, summary.path) : input;
    const given = Object.fromEntries(
      Object.entries(example).map(([name, value]) => [name, exampleTensor(value)]),
    );
    const { part, sideNames, joinsExamples } = prologue;
    // The stream of a graph may begin with an input.
    const outputs =
      part.outputs.length === 0
        ? {}
        : await this.embeddingAndHeadPool.use(this.lookup(part), async (session) =>
            this.started(session, pick(part.inputs, given)),
          );
    const known = input instanceof Int32Array ? this.sides.get(input.length) : undefined;
    const side = known ?? pick(sideNames, { ...given, ...collectTensors(outputs, part.outputs) });
    if (joinsExamples && input instanceof Int32Array) {
      this.sides.set(input.length, side);
    }
    return { values: valuesAfter(prologue, collectTensors(outputs, part.outputs), {}, side), side };
  }

  /** Runs several examples through sublayer `index`; see {@link StepOptions}. */
  public async run(
    index: number,
    states: readonly HiddenState[],
    afterRun?: AfterRun,
    without: readonly (readonly number[])[] = [],
  ): Promise<HiddenState[]> {
    const once = this.streamed.has(index);
    const step = this.model.sublayer(index);
    return this.evaluate(step, states, { afterRun, without, once });
  }

  /**
   * Runs several examples through a step that replaces one of the model's, such as a sublayer with other weights or
   * without some of its experts. Its session is not kept.
   */
  public async through(
    step: Step & { readonly part: GraphPart },
    states: readonly HiddenState[],
    afterRun?: AfterRun,
    experts: readonly number[] = [],
  ): Promise<HiddenState[]> {
    const without = states.map(() => experts);
    return this.evaluate(step, states, { afterRun, without, once: true });
  }

  /**
   * Runs several examples through a sublayer and passes the inputs of its linear layers to `observe`. The session is
   * not kept.
   */
  public async tap(
    step: TappedStep,
    states: readonly HiddenState[],
    observe: TapObserver,
    afterRun?: AfterRun,
  ): Promise<HiddenState[]> {
    return this.evaluate(step, states, { afterRun, once: true, observe });
  }

  /** Like {@link tap}, if only some linear layers are observed: only their experts are run, so there are no results. */
  public async tapAgain(
    step: TappedStep,
    states: readonly HiddenState[],
    observe: TapObserver,
    observed: ReadonlySet<string>,
    afterRun?: AfterRun,
  ): Promise<void> {
    const results = await this.take(step, states, { afterRun, once: true, observe, observed });
    this.states.release(...results);
    this.evaluationCount += states.length;
  }

  /**
   * Takes several examples through an MoE layer, expert by expert: only experts that tokens are sent to are read, once for
   * all examples that fit into memory.
   */
  public async routed(
    steps: RoutedSteps,
    states: readonly HiddenState[],
    observeExpert: ExpertObserver,
    afterRun?: AfterRun,
  ): Promise<HiddenState[]> {
    const results = await this.takeRouted(steps, states, { afterRun, observeExpert });
    this.evaluationCount += states.length;
    return results;
  }

  /** Skips sublayer `index` for several examples. */
  public async skip(
    index: number,
    states: readonly HiddenState[],
    afterRun?: AfterRun,
  ): Promise<HiddenState[]> {
    return this.take(this.model.sublayer(index).skipped, states, { afterRun });
  }

  /** Takes several examples through sublayer `index` of a model that lacks the units `removed`. */
  public async pass(
    index: number,
    states: readonly HiddenState[],
    removed: ReadonlySet<number>,
    afterRun?: AfterRun,
  ): Promise<HiddenState[]> {
    if (removed.has(index)) {
      return this.skip(index, states, afterRun);
    }
    const without = this.units.expertsGone(index, removed);
    return this.run(
      index,
      states,
      afterRun,
      states.map(() => without),
    );
  }

  /** Like {@link skip}, but undefined if skipping requires computation. */
  public skipFreely(index: number, state: HiddenState): HiddenState | undefined {
    const step = this.model.sublayer(index).skipped;
    return step.part === undefined ? keepState(step, state) : undefined;
  }

  /**
   * Runs a custom graph that contains parts of the model; writes `outputs` to the given tensors. The caller releases
   * outputs that stay on a device.
   */
  public async read(
    { key, costs, build }: Readout,
    feeds: Tensors,
    outputs?: Tensors,
  ): Promise<InferenceSession.OnnxValueMapType> {
    const { emitter } = this.model;
    if (emitter === undefined) {
      throw new Error('this model does not emit itself into other graphs');
    }
    return this.runEmbeddingOrHead(
      key,
      costs,
      (graph) => {
        build(graph, emitter);
      },
      async (session) => (outputs === undefined ? session.run(feeds) : session.run(feeds, outputs)),
    );
  }

  /** Runs a custom graph that uses no part of the model. */
  public async compute(
    { key, build, keepMemory, stays }: OwnGraph,
    feeds: Tensors,
    outputs?: Tensors,
  ): Promise<InferenceSession.OnnxValueMapType> {
    return this.runEmbeddingOrHead(
      key,
      { bytes: 0, keepMemory: keepMemory === true, stays: stays === true },
      build,
      async (session) => (outputs === undefined ? session.run(feeds) : session.run(feeds, outputs)),
    );
  }

  /** The model's output for a final state: logits [1, sequence, vocabulary] of a language model. */
  public async output(state: HiddenState): Promise<Tensor> {
    const { epilogue } = this.model;
    const outputs = await this.embeddingAndHeadPool.use(epilogue, async (session) =>
      session.run(pick(epilogue.inputs, { ...state.side, ...state.values })),
    );
    return outputTensor(outputs, epilogue.outputs[0] ?? '');
  }

  /** Logits [sequence, vocabulary] of one final state of a language model. */
  public async logits(state: HiddenState): Promise<Float32Array> {
    return floatsIn(await this.output(state));
  }

  /**
   * Closes sessions until they are needed again, for example while another model runs. States remain.
   * @param what only sublayers if another executor uses the rest
   */
  public async rest(what: 'all' | 'sublayers' = 'all'): Promise<void> {
    const shared =
      what === 'all' && this.ownsEmbeddingAndHeadPool ? [this.embeddingAndHeadPool] : [];
    await Promise.all([this.pool, ...shared].map(async (pool) => pool.dispose()));
  }

  public async dispose(): Promise<void> {
    try {
      await this.states.dispose();
    } finally {
      await this.rest();
    }
  }

  /** A prologue only looks up rows, so its weights are not repacked. */
  private lookup(part: GraphPart): SessionRecipe {
    return { ...part, bytes: privateBytes(part, this.device), mappedBytes: 0 };
  }

  private async runEmbeddingOrHead(
    key: string,
    costs: Omit<SessionRecipe, 'key' | 'build'>,
    build: (graph: GraphBuilder) => void,
    run: (session: InferenceSession) => Promise<InferenceSession.OnnxValueMapType>,
  ): Promise<InferenceSession.OnnxValueMapType> {
    const stays = this.states.stay && costs.stays === true;
    const recipe = {
      ...costs,
      ...{ key, stays },
      build: () => {
        const graph = new GraphBuilder(key);
        build(graph);
        return graph;
      },
    };
    return this.states.adopt(await this.embeddingAndHeadPool.use(recipe, run));
  }

  /** Runs several examples through a step, and counts them as evaluations. */
  private async evaluate(
    step: Step | TappedStep,
    states: readonly HiddenState[],
    options: StepOptions,
  ): Promise<HiddenState[]> {
    const results = await this.take(step, states, options);
    this.evaluationCount += states.length;
    return results;
  }

  private async take(
    step: Step | TappedStep,
    states: readonly HiddenState[],
    options: StepOptions,
  ): Promise<HiddenState[]> {
    const { afterRun, without = [], once = false, observe } = options;
    const { part, routed } = step;
    if (routed !== undefined && !this.keepsSessions && states.length > 0) {
      return this.takeRouted(routed, states, options);
    }
    const { joinsExamples } = this.model.prologue;
    if (part === undefined || states.length === 0) {
      return states.map((state) => this.states.hold(keepState(step, state)));
    }
    const results: HiddenState[] = [];
    const walk = async (session: InferenceSession): Promise<HiddenState[]> => {
      for (const batch of splitIntoBatches(states, this.device, this.shares, joinsExamples)) {
        const done = results.length;
        const experts = batch.map((_, i) => without[done + i] ?? []);
        const behind = await this.takeBatch(session, { ...step, part }, batch, experts, observe);
        results.push(...behind);
        await this.states.pace(behind);
        await afterRun?.();
      }
      if (once || !this.keepsSessions) {
        // Disposing a session before its runs end would keep its weights on the device together with the next one's.
        await this.states.settle(results);
      }
      return results;
    };
    // Tapped values are read immediately.
    const recipe = { ...part, stays: this.states.stay && observe === undefined };
    try {
      return await (once ? this.pool.once(recipe, walk) : this.pool.use(recipe, walk));
    } catch (error) {
      this.states.release(...results);
      throw error;
    }
  }

  /** Runs states through an MoE layer, expert by expert. */
  private async takeRouted(
    { route, experts, join }: RoutedSteps,
    states: readonly HiddenState[],
    { afterRun, without = [], observe, observed, observeExpert }: StepOptions,
  ): Promise<HiddenState[]> {
    const { joinsExamples } = this.model.prologue;
    const results: HiddenState[] = [];
    try {
      for (const group of this.routedGroups(states)) {
        const batches = splitIntoBatches(group, this.device, this.shares, joinsExamples);
        const rows = new RoutedRows();
        let seen = results.length;
        await this.pool.once(route.part, async (session) => {
          for (const batch of batches) {
            const left = batch.map((_, i) => without[seen + i] ?? []);
            seen += batch.length;
            const held: Tensor[] = [];
            try {
              const outputs = await this.runBatch(session, route, batch, { without: left, held });
              const first = seen - batch.length;
              rows.addRun(collectTensors(outputs, route.part.outputs), first, batch.length);
            } finally {
              this.states.letGo(...held);
            }
            await afterRun?.(0);
          }
        });
        const reached = rows.experts.filter(
          (expert) =>
            observed === undefined ||
            [...(experts[expert]?.taps?.keys() ?? [])].some((id) => observed.has(id)),
        );
        for (const [i, expert] of reached.entries()) {
          const { part, taps } = experts[expert] ?? throwMissingInput(`expert ${expert}`);
          await this.pool.once(part, async (session) =>
            rows.runExpert(expert, async (feeds, stateOf) => {
              const given = await session.run(feeds);
              await showTaps(given, taps, observe);
              const output = outputTensor(given, routedNames.output);
              observeExpert?.(expert, output, stateOf);
              return output;
            }),
          );
          await afterRun?.(
            (results.length + (group.length * (i + 1)) / reached.length) / states.length,
          );
        }
        const { sums } = rows;
        const recipe = { ...join.part, stays: this.states.stay && observe === undefined };
        await this.pool.once(recipe, async (session) => {
          for (const [i, batch] of batches.entries()) {
            const sum = { [routedNames.sum]: sums[i] ?? throwMissingInput(routedNames.sum) };
            results.push(...(await this.takeBatch(session, join, batch, [], observe, sum)));
            await afterRun?.(results.length / states.length);
          }
          await this.states.settle(results);
        });
      }
      return results;
    } catch (error) {
      this.states.release(...results);
      throw error;
    }
  }

  /** States whose rows and sums of experts fit into memory together. */
  private *routedGroups(states: readonly HiddenState[]): Generator<HiddenState[]> {
    const room = this.shares.stateBytes * routedShare;
    let group: HiddenState[] = [];
    let bytes = 0;
    for (const state of states) {
      // The rows that experts read, and their sums.
      const more = 2 * stateBytes(state);
      if (group.length > 0 && bytes + more > room) {
        yield group;
        [group, bytes] = [[], 0];
      }
      group.push(state);
      bytes += more;
    }
    yield group;
  }

  /** Runs states through a part in one run. Releases all values of the session, even if it fails. */
  private async takeBatch(
    session: InferenceSession,
    step: Step & RoutedPart,
    batch: readonly HiddenState[],
    without: readonly (readonly number[])[],
    observe?: TapObserver,
    further: Tensors = {},
  ): Promise<HiddenState[]> {
    const { part, next, taps } = step;
    const held: Tensor[] = [];
    try {
      const given = this.states.adopt(
        await this.runBatch(session, step, batch, { without, held, further }),
      );
      held.push(...Object.values(collectTensors(given, part.outputs)));
      await showTaps(given, taps, observe, batch);
      const taken = new Set(Object.values(next));
      const wanted = part.outputs.filter((name) => taken.has(name));
      return await this.states.behind(step, collectTensors(given, wanted), batch);
    } finally {
      this.states.letGo(...held);
    }
  }

  /** Outputs of a part for states that are joined. */
  private async runBatch(
    session: InferenceSession,
    { part, mask }: Pick<Step, 'mask'> & { readonly part: GraphPart },
    batch: readonly HiddenState[],
    { without, held, further = {} }: BatchOptions,
  ): Promise<InferenceSession.OnnxValueMapType> {
    const [first] = batch;
    const side = first === undefined ? {} : await this.states.sideValues(first);
    const feeds = { ...further, ...(mask === undefined ? {} : maskFeed(mask, without)) };
    for (const name of part.inputs.filter((input) => feeds[input] === undefined)) {
      if (first?.values[name] === undefined) {
        feeds[name] = side[name] ?? throwMissingInput(name);
      } else {
        feeds[name] = await this.states.join(batch, name);
        held.push(feeds[name]);
      }
    }
    return this.started(session, feeds);
  }

  /** @throws UserError when a graph of someone else's cannot be computed on these inputs. */
  private async started(
    session: InferenceSession,
    feeds: Tensors,
  ): Promise<InferenceSession.OnnxValueMapType> {
    try {
      return await session.run(emptyAsDeclared(session, feeds));
    } catch (error) {
      if (this.model.emitter !== undefined || !(error instanceof Error)) {
        throw error;
      }
      const [reason = ''] = error.message.trim().split('\n');
      throw new UserError(
        'inputs-rejected',
        say`ONNX Runtime can't run the model on these inputs: ${reason}`,
        {
          file: this.model.summary.path,
          remedy: say`Random inputs may have sizes or values that the model rejects. Choose real examples in a .npz file.`,
        },
      );
    }
  }
}
