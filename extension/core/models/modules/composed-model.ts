import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { Dimension, GraphBuilder, Value } from '../../onnx/graph-builder';
import type {
  ExpertMask,
  BlockNames,
  GraphPart,
  InputPort,
  LayeredModel,
  LayeredSublayer,
  ModelKind,
  ModelOutput,
  Prologue,
  RoutedPart,
  RoutedSteps,
  Step,
  TappedStep,
} from '../layered-model';
import type { LinearLayer, MatrixEncoding, EmbeddingOrHead } from '../matrix-encoding';
import { routedNames, stream } from '../model-emitter';
import type { EmitOptions, SublayerCall, ModelEmitter, SideValue, Values } from '../model-emitter';
import type { ModelSummary } from '../model-summary';
import type { Width } from '../width-pruning/width';
import { endLinears, endSides } from '../parts/block-end';
import type { SymbolicPatch } from '../patch/symbolic-patch';
import type { ExpertTensors } from '../transformer/part-tensors';
import type { SingleExpert, SublayerModule } from './sublayer';
import { outputName } from '../transformer/carried-streams';
import { describeEmbeddingAndHead } from '../transformer/embedding-and-head';
import type { EmbeddingAndHead } from '../transformer/embedding-and-head';
import { requireRunnableTensors } from '../transformer/runnable';
import { declareInputs, emittedPart, tappedPart } from '../transformer/tapped-part';
import type { BuilderPart, RunningCosts } from '../transformer/tapped-part';
import { runningCosts } from './costs';

/** Name of a sublayer's output, because a graph's inputs and outputs can't share a name. */
const nextStream = 'next';

/** Names of a part's inputs. */
interface PartInputs {
  readonly stateNames: readonly string[];
  readonly sides: readonly string[];
  /** Inputs that are neither state nor side values. */
  readonly further: readonly string[];
}

/** Layout of a model whose blocks are built from modules. */
interface ComposedLayout {
  /** Ids of sublayers that an earlier pruning removed. */
  readonly absent: readonly string[];
  /** Modules of a block that patches replace, by sublayer kind. */
  readonly patchModules?: Readonly<Partial<Record<string, string>>>;
}

/** A module as one sublayer of a composed model. */
export interface ComposedModule extends Pick<
  SublayerModule,
  | 'id'
  | 'block'
  | 'ends'
  | 'stayingTensors'
  | 'outputTensors'
  | 'floatTensors'
  | 'expertTensors'
  | 'singleExperts'
  | 'cachedNumbers'
  | 'cacheWindow'
  | 'runningCosts'
  | 'width'
> {
  readonly place: string;
  /** The sublayer without the parts that remain after its removal. */
  readonly upToSum: ComposedModule;
  tensors(): readonly LazyTensor[];
  linearLayers(sublayer: number): LinearLayer[];
  routerLayers?(sublayer: number): LinearLayer[];
}

/**
 * Model built from modules around a residual stream. Subclasses define the parts before and after the blocks, and the
 * state values other than the stream.
 */
export abstract class ComposedModel<
  Layout extends ComposedLayout,
  Module extends ComposedModule,
  Self extends ComposedModel<Layout, Module, Self>,
> implements LayeredModel {
  public abstract readonly kind: ModelKind;
  public abstract readonly inputs: readonly InputPort[];
  public abstract readonly output: ModelOutput;
  public abstract readonly joinsExamples: boolean;
  public readonly graph = undefined;
  /** By index, as each run of a sublayer asks for one. */
  private readonly steps = new Map<number, ComposedSublayer>();
  private firstStep: Prologue | undefined;

  public constructor(
    public readonly summary: ModelSummary,
    public readonly files: readonly string[],
    public readonly layout: Layout,
  ) {}

  /** Every side value of the prologue. */
  public abstract get sideValues(): readonly SideValue[];
  public abstract get sublayers(): readonly Module[];
  public abstract get embeddingAndHead(): EmbeddingAndHead;
  /** True if attention caches keys and values for later tokens. */
  protected abstract get keepsCache(): boolean;
  /** True if the attention of sublayer `index` caches keys and values for later tokens. */
  public cachesAt(index: number): boolean {
    return this.keepsCache && this.at(index).cachedNumbers !== undefined;
  }
  protected abstract get prologueCosts(): RunningCosts;
  protected abstract get epilogueCosts(): RunningCosts;
  /** Stored tensors outside the sublayers. */
  protected abstract get embeddingAndHeadTensors(): readonly LazyTensor[];
  protected abstract get outputShape(): readonly Dimension[] | undefined;
  /** Emits the state and side values in front of the first sublayer, from the declared inputs. */
  public abstract emitInputs(graph: GraphBuilder): { state: Values; side: Values };
  public abstract emitSublayer(...call: SublayerCall): Values;
  public abstract emitSkipped(
    graph: GraphBuilder,
    index: number,
    state: Values,
    side: Values,
  ): Values;
  public abstract emitEpilogue(graph: GraphBuilder, hidden: Value, side: Values): Value;
  /** Names of the side values that sublayer `index` reads. */
  public abstract sidesOf(index: number): readonly string[];
  public abstract layoutWith(
    sublayers: readonly Module[],
    embeddingAndHead: EmbeddingAndHead,
  ): Layout;
  public abstract remade(summary: ModelSummary, files: readonly string[], layout: Layout): Self;

  /** Names of the values of the state that sublayer `index` reads. */
  public stateNames(_index: number): readonly string[] {
    return [stream];
  }

  /** Names of those that are read if sublayer `index` is skipped. */
  public skippedStateNames(_index: number): readonly string[] {
    return [stream];
  }

  /** Names of the values that the part before a boundary computes in addition to the stream. */
  public givenAt(_boundary: number): readonly string[] {
    return [];
  }

  /** Sources of the state values at a boundary. `next` is the output of the preceding part. */
  public nextState(_boundary: number, next: string): Step['next'] {
    return { [stream]: next };
  }

  /** Value that is passed on if sublayer `index` is skipped without leaving a remainder. */
  public passedOn(_index: number): string {
    return stream;
  }

  /** Shape of a value of the state; undefined if it differs from block to block. */
  protected abstract shapeOf(value: string): readonly Dimension[] | undefined;

  protected get epilogueSides(): readonly string[] {
    return [];
  }

  /** Tensors and linear layers of a part that runs even if sublayer `index` is skipped. */
  public skippedCosts(index: number): RunningCosts | undefined {
    const { stayingTensors, ends } = this.at(index);
    return stayingTensors.length === 0 ? undefined : runningCosts(stayingTensors, endLinears(ends));
  }

  public sublayerCosts(index: number): RunningCosts {
    return this.at(index).runningCosts;
  }

  public expertMask(_index: number): ExpertMask | undefined {
    return undefined;
  }

  public get prologue(): Prologue {
    this.firstStep ??= this.prologueStep();
    return this.firstStep;
  }

  private prologueStep(): Prologue {
    const { joinsExamples } = this;
    const sideNames = this.sideValues.map(({ name }) => name);
    const part = emittedPart(
      {
        key: 'prologue',
        ...this.prologueCosts,
        inputs: this.inputs.map(({ name }) => name),
        outputs: [stream, ...this.givenAt(0).map(outputName), ...sideNames],
      },
      (graph) => {
        declareInputs(graph, this.inputs);
        const { state, side } = this.emitInputs(graph);
        this.outputState(graph, stream, state[stream], state, 0);
        for (const { name, shape } of this.sideValues) {
          graph.output(name, side[name] ?? missing(name), DataType.FLOAT, shape);
        }
      },
    );
    return { part, next: this.nextState(0, stream), sideNames, joinsExamples };
  }

  public sublayer(index: number): ComposedSublayer {
    const sublayer = this.steps.get(index) ?? new ComposedSublayer(this, index);
    this.steps.set(index, sublayer);
    return sublayer;
  }

  public streamNames(_index: number): { readonly before: string; readonly after: string } {
    return { before: stream, after: stream };
  }

  public get epilogue(): GraphPart {
    const { name } = this.output;
    const { epilogueSides } = this;
    return emittedPart(
      {
        key: 'epilogue',
        ...this.epilogueCosts,
        inputs: [stream, ...epilogueSides],
        outputs: [name],
      },
      (graph) => {
        const state = this.stateInputs(graph, [stream]);
        const side = this.sideInputs(graph, epilogueSides);
        const output = this.emitEpilogue(graph, state[stream] ?? missing(stream), side);
        graph.output(name, output, DataType.FLOAT, this.outputShape);
      },
    );
  }

  public abstract get blockNames(): BlockNames;

  public get emitter(): ModelEmitter | undefined {
    return undefined;
  }

  /** Channels or heads of sublayer `index` that can be removed. */
  public widthOf(index: number): Width | undefined {
    const { width } = this.at(index);
    return width?.of === 'groups' && this.sharesHeads(index) ? undefined : width;
  }

  /** True if parts outside sublayer `index` have values for each of its heads. */
  protected sharesHeads(_index: number): boolean {
    return false;
  }

  /** Tensors that stay when sublayer `index` is removed. */
  public stayingTensors(index: number): readonly LazyTensor[] {
    return this.at(index).stayingTensors;
  }

  /** Width of a patch's input; undefined if patches aren't supported. */
  public abstract get patchWidth(): number | undefined;

  /** Value of the state that the branch of sublayer `index` reads. */
  public branchInput(_index: number): string {
    return stream;
  }

  public get embeddingAndHeadMatrices(): readonly EmbeddingOrHead[] {
    return describeEmbeddingAndHead(this.embeddingAndHead);
  }

  public abstract withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): Self;
  public abstract withPatches(patches: ReadonlyMap<string, SymbolicPatch>): Self;

  public requireRunnable(): void {
    requireRunnableTensors([
      ...this.embeddingAndHeadTensors,
      ...this.sublayers.flatMap(({ floatTensors }) => floatTensors),
    ]);
  }

  /** Emits the model without the sublayers of `removed`, from its inputs to its output. */
  public emitWhole(graph: GraphBuilder, removed: ReadonlySet<number>): void {
    declareInputs(graph, this.inputs);
    const { state: first, side } = this.emitInputs(graph);
    let state = first;
    for (const index of this.sublayers.keys()) {
      state = removed.has(index)
        ? this.emitSkipped(graph, index, state, side)
        : this.emitSublayer(graph, index, state, side);
    }
    const output = this.emitEpilogue(graph, state[stream] ?? missing(stream), side);
    graph.output(this.output.name, output, DataType.FLOAT, this.outputShape);
  }

  public at(index: number): Module {
    const sublayer = this.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of ${this.sublayers.length}`);
    }
    return sublayer;
  }

  public idAt(index: number): string {
    return this.summary.sublayers[index]?.id ?? String(index);
  }

  /** Part that computes the state after sublayer `index` from the state before it. */
  public partOver(
    key: string,
    costs: RunningCosts,
    stateNames: readonly string[],
    sides: readonly string[],
    mask: ExpertMask | undefined,
    index: number,
    emit: (graph: GraphBuilder, state: Values, side: Values) => Values,
  ): BuilderPart {
    const outputs = [nextStream, ...this.givenAt(index + 1).map(outputName)];
    const further = mask === undefined ? [] : [mask.input];
    return this.partFrom(
      key,
      costs,
      { stateNames, sides, further },
      outputs,
      (graph, state, side) => {
        const next = emit(graph, state, side);
        this.outputState(graph, nextStream, next[this.streamNames(index).after], next, index + 1);
      },
    );
  }

  /** Part that computes `outputs`, which `emit` declares, from values of the state, side values and inputs that it declares. */
  public partFrom(
    key: string,
    costs: RunningCosts,
    { stateNames, sides, further }: PartInputs,
    outputs: readonly string[],
    emit: (graph: GraphBuilder, state: Values, side: Values) => void,
  ): BuilderPart {
    const inputs = [...stateNames, ...sides, ...further];
    return emittedPart({ key, ...costs, inputs, outputs }, (graph) => {
      emit(graph, this.stateInputs(graph, stateNames), this.sideInputs(graph, sides));
    });
  }

  private stateInputs(graph: GraphBuilder, names: readonly string[]): Values {
    return Object.fromEntries(
      names.map((name) => [name, graph.input(name, DataType.FLOAT, this.shapeOf(name))]),
    );
  }

  private sideInputs(graph: GraphBuilder, names: readonly string[]): Values {
    const sides = this.sideValues.filter(({ name }) => names.includes(name));
    return Object.fromEntries(
      sides.map(({ name, shape }) => [name, graph.input(name, DataType.FLOAT, shape)]),
    );
  }

  /** Declares as outputs the stream, and other values that the part in front of a boundary computes. */
  private outputState(
    graph: GraphBuilder,
    name: string,
    value: Value | undefined,
    state: Values,
    boundary: number,
  ): void {
    graph.output(name, value ?? missing(name), DataType.FLOAT, this.shapeOf(stream));
    for (const given of this.givenAt(boundary)) {
      const shape = this.shapeOf(given);
      graph.output(outputName(given), state[given] ?? missing(given), DataType.FLOAT, shape);
    }
  }
}

export type AnyComposedModel = ComposedModel<ComposedLayout, ComposedModule, AnyComposedModel>;

/** A sublayer of a composed model: the step of its module between two boundaries. */
export class ComposedSublayer implements LayeredSublayer {
  public readonly part: BuilderPart;
  public readonly next: Step['next'];
  public readonly mask?: ExpertMask;

  public constructor(
    private readonly model: AnyComposedModel,
    private readonly index: number,
  ) {
    const mask = model.expertMask(index);
    this.part = model.partOver(
      model.idAt(index),
      model.sublayerCosts(index),
      model.stateNames(index),
      model.sidesOf(index),
      mask,
      index,
      (graph, state, side) => model.emitSublayer(graph, index, state, side, maskInput(graph, mask)),
    );
    this.next = model.nextState(index + 1, nextStream);
    if (mask !== undefined) {
      this.mask = mask;
    }
  }

  private get module(): ComposedModule {
    return this.model.at(this.index);
  }

  public get summed(): Step & { readonly part: BuilderPart } {
    const { model, index } = this;
    const { summary, files, sublayers } = model;
    const layout = model.layoutWith(
      sublayers.with(index, this.module.upToSum),
      model.embeddingAndHead,
    );
    const { part, next, mask } = model.remade(summary, files, layout).sublayer(index);
    return {
      part: { ...part, key: `${part.key}.summed` },
      next,
      ...(mask === undefined ? {} : { mask }),
    };
  }

  public get skipped(): Step {
    const { model, index } = this;
    const costs = model.skippedCosts(index);
    if (costs === undefined) {
      return { next: model.nextState(index + 1, model.passedOn(index)) };
    }
    const part = model.partOver(
      `${model.idAt(index)}.skipped`,
      costs,
      model.skippedStateNames(index),
      endSides(this.module.ends),
      undefined,
      index,
      (graph, state, side) => model.emitSkipped(graph, index, state, side),
    );
    return { part, next: this.next };
  }

  public get tapped(): TappedStep {
    const { part, next, mask, linearLayers } = this;
    const routed = routedSteps(this.model, this.index, linearLayers);
    return {
      next,
      ...(mask === undefined ? {} : { mask }),
      ...(routed === undefined ? {} : { routed }),
      ...tappedPart(part, linearLayers),
    };
  }

  public get routed(): RoutedSteps | undefined {
    return routedSteps(this.model, this.index, []);
  }

  public get streamNames(): { readonly before: string; readonly after: string } {
    return this.model.streamNames(this.index);
  }

  public get tensors(): readonly LazyTensor[] {
    return this.module.tensors();
  }

  public get stayingTensors(): readonly LazyTensor[] {
    return this.model.stayingTensors(this.index);
  }

  public get outputTensors(): readonly LazyTensor[] {
    return this.module.outputTensors;
  }

  public get linearLayers(): readonly LinearLayer[] {
    return this.module.linearLayers(this.index);
  }

  public get routerLayers(): readonly LinearLayer[] {
    return this.module.routerLayers?.(this.index) ?? [];
  }

  public get width(): Width | undefined {
    return this.model.widthOf(this.index);
  }

  public get widthProblem(): undefined {
    return undefined;
  }

  public get expertTensors(): ExpertTensors | undefined {
    return this.module.expertTensors;
  }

  public get patchInput(): string {
    return this.model.branchInput(this.index);
  }

  public get patchWidth(): number | undefined {
    return this.model.patchWidth;
  }

  public get patchModule(): string | undefined {
    return this.model.layout.patchModules?.[this.module.place];
  }
}

/** Declares the input of a mask, if there is one. */
const maskInput = (
  graph: GraphBuilder,
  mask: ExpertMask | undefined,
): Pick<EmitOptions, 'expertMask'> =>
  mask === undefined
    ? {}
    : { expertMask: graph.input(mask.input, DataType.FLOAT, ['batch', mask.count]) };

/**
 * Parts of sublayer `index`, if it is an MoE layer whose experts can run separately. The inputs of the linear layers in
 * `tapped` are additional outputs.
 */
function routedSteps(
  model: AnyComposedModel,
  index: number,
  tapped: readonly LinearLayer[],
): RoutedSteps | undefined {
  const { singleExperts } = model.at(index);
  if (singleExperts === undefined) {
    return undefined;
  }
  const { experts, otherCosts } = singleExperts;
  const id = model.idAt(index);
  const mask = model.expertMask(index);
  const [stateNames, sides] = [model.stateNames(index), model.sidesOf(index)];
  const { rows, chosen, shares, sum } = routedNames;
  const outputs = [rows, chosen, shares];
  const further = mask === undefined ? [] : [mask.input];
  const route = model.partFrom(
    `${id}.route`,
    otherCosts,
    { stateNames, sides, further },
    outputs,
    (graph, state, side) => {
      const apart = { part: 'route' } as const;
      model.emitSublayer(graph, index, state, side, { ...maskInput(graph, mask), apart });
      for (const name of outputs) {
        const type = name === chosen ? DataType.INT64 : DataType.FLOAT;
        graph.output(name, graph.marks.get(name) ?? missing(name), type, ['rows', name]);
      }
    },
  );
  const joined = model.partOver(
    `${id}.join`,
    otherCosts,
    stateNames,
    sides,
    undefined,
    index,
    (graph, state, side) => {
      const apart = { part: 'join', sum: graph.input(sum, DataType.FLOAT, ['rows', sum]) } as const;
      return model.emitSublayer(graph, index, state, side, { apart });
    },
  );
  const join = { ...joined, inputs: [...joined.inputs, sum] };
  const expertLayers = new Set(experts.flatMap(({ layers }) => layers));
  return {
    route: { part: route, ...(mask === undefined ? {} : { mask }) },
    experts: experts.map((expert, j) => {
      const own = new Set(expert.layers);
      return tap(
        expertPart(`${id}.expert.${j}`, expert),
        tapped.filter((layer) => own.has(layer.id)),
      );
    }),
    join: {
      next: model.nextState(index + 1, joined.outputs[0] ?? missing('next')),
      ...tap(
        join,
        tapped.filter((layer) => !expertLayers.has(layer.id)),
      ),
    },
  };
}

const tap = (part: BuilderPart, layers: readonly LinearLayer[]): RoutedPart =>
  layers.length === 0 ? { part } : tappedPart(part, layers);

function expertPart(key: string, { costs, emit }: SingleExpert): BuilderPart {
  const { rows, shares, output } = routedNames;
  return emittedPart({ key, ...costs, inputs: [rows, shares], outputs: [output] }, (graph) => {
    const read = graph.input(rows, DataType.FLOAT, ['rows', 'width']);
    const share = graph.input(shares, DataType.FLOAT, ['rows', 1]);
    graph.output(output, emit(graph, read, share), DataType.FLOAT, ['rows', 'width']);
  });
}

function missing(name: string): never {
  throw new Error(`the graph has no value named ${name}`);
}
