import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearLayer, LinearRole } from '../matrix-encoding';
import type { EmitOptions } from '../model-emitter';
import type { ExpertSummary, SublayerKind } from '../model-summary';
import type { Message } from '../../message';
import type { Width } from '../width-pruning/width';
import { endTensors } from '../parts/block-end';
import type { BlockEnd } from '../parts/block-end';
import type { Linear } from '../parts/linear';
import { emitNorm, emitNorms } from '../parts/norm';
import type { Norm } from '../parts/norm';
import type { Rotary } from '../parts/rotary';
import { connectionTensors } from '../parts/streams/hyper-connections';
import type { ConnectedStreams, Connection } from '../parts/streams/hyper-connections';
import type { PartKind } from '../transformer/architecture';
import { partTensors, storedTensors } from '../transformer/part-tensors';
import type { ExpertTensors } from '../transformer/part-tensors';
import type { RunningCosts } from '../transformer/tapped-part';
import { runningCosts, linearFlops } from './costs';
import { emitWired } from './wiring';
import type { BranchShape, Wiring } from './wiring';
import type { SumFactors } from './wiring-names';

/** Side values of a sublayer. */
export interface SideInputs {
  /** Absent if positions are learned. */
  readonly rotation?: { readonly rotary: Rotary; readonly cos: Value; readonly sin: Value };
  /** Added to the scores: [batch | 1, heads | 1, sequence | 1, total], very negative for tokens that may not be attended. */
  readonly mask?: Value;
  /** Factor on queries: [batch | 1, 1, sequence, 1]. */
  readonly queryScale?: Value;
  /** The other stream [batch, length, hiddenSize] that keys and values are computed from. */
  readonly othersStream?: Value;
  /** Output of the embedding: [batch, sequence, hiddenSize]. */
  readonly embedded?: Value;
  /** Positions of the tokens: [batch | 1, sequence, 1]. */
  readonly positions?: Value;
  /** Ids of the tokens: [batch | 1, sequence, 1]. */
  readonly ids?: Value;
  /** 1 for each token, 0 for padding: [batch | 1, sequence, 1]. */
  readonly tokens?: Value;
  /** 1 for the first token of a text, 0 for others: [batch | 1, sequence, 1]. */
  readonly starts?: Value;
}

/** The positions that an attention sublayer reads. */
export interface AttentionReach {
  /** Number of visible positions, including the token's own; undefined for all. */
  readonly slidingWindow: number | undefined;
  /** Key of its rotary embedding in the layout. */
  readonly rotary: string | undefined;
  /** True if keys and values come from the output of an encoder. */
  readonly isCross: boolean;
}

/** Side values that only some sublayers read. */
export type SpecialSide = 'embedded' | 'ids' | 'positions' | 'tokens' | 'starts';

/** Inputs of an emitted sublayer. */
export interface SublayerInput {
  /** The residual stream [batch, sequence, hiddenSize] that the branch is added to. */
  readonly hidden: Value;
  /** Input of the branch, if it isn't the stream: the block's input for parallel branches. */
  readonly input?: Value;
  readonly side: SideInputs;
  readonly streams?: ConnectedStreams | undefined;
  readonly options?: EmitOptions;
}

/** Inputs of a branch besides its normed input. */
export interface BranchInput extends Required<Pick<SublayerInput, 'side' | 'options'>> {
  /** Its input before the norm. */
  readonly x: Value;
}

/** A linear layer with its role, and the expert it belongs to. */
export type RoledLinear = readonly [
  role: LinearRole,
  linear: Linear,
  expert?: LinearLayer['expert'],
];

/** Expert of an MoE layer that can run separately. */
export interface SingleExpert {
  readonly costs: RunningCosts;
  /** Ids of its linear layers. */
  readonly layers: readonly string[];
  /** Emits its weighted output for `rows` [rows, hiddenSize] and their weights `shares` [rows, 1]. */
  readonly emit: (graph: GraphBuilder, rows: Value, shares: Value) => Value;
}

/** The experts of an MoE layer, and the costs of everything else in it. */
export interface SingleExperts {
  readonly experts: readonly SingleExpert[];
  readonly otherCosts: RunningCosts;
}

/** A residual sublayer hᵢ₊₁ = hᵢ + f(hᵢ) with its weights found and checked. */
export abstract class SublayerModule<
  Weights extends Wiring = Wiring,
  Shape extends BranchShape = BranchShape,
> {
  public abstract readonly kind: PartKind | 'patch';
  /** Ends of its block, and of later blocks whose sublayers were removed. */
  public readonly ends: readonly BlockEnd[] = [];

  public constructor(
    public readonly block: number,
    public readonly shape: Shape,
    public readonly weights: Weights,
  ) {}

  /** Every linear layer. */
  public abstract get linears(): readonly Linear[];
  /** Linear layers that can be encoded, or have channels removed. */
  protected abstract get roles(): readonly RoledLinear[];
  /** Linear layers that write into the stream. */
  protected abstract get outputLinears(): readonly Linear[];
  public abstract mapLinears(map: (linear: Linear) => Linear): this;
  /** Emits the branch for `normed` [batch, sequence, hiddenSize]. */
  protected abstract emitBranch(graph: GraphBuilder, normed: Value, input: BranchInput): Value;

  /** The part of the block that it is, or that a patch replaces. */
  public get place(): PartKind {
    return this.kind as PartKind;
  }

  public get summaryKind(): SublayerKind {
    return this.kind;
  }

  /** `block.N.KIND`; a patch has the id of the sublayer it replaces. */
  public get id(): string {
    return `block.${this.block}.${this.place}`;
  }

  /** The positions that it reads; undefined if it reads each alone or carries a state. */
  public get reach(): AttentionReach | undefined {
    return undefined;
  }

  /** Detail in diagrams. */
  public get detail(): Message | undefined {
    return undefined;
  }

  /** Earlier block whose keys and values it shares. */
  public get keysBlock(): number | undefined {
    return undefined;
  }

  /** Side values it reads besides masks and rotary tables. */
  public get specialSides(): readonly SpecialSide[] {
    return [];
  }

  protected get innerNorms(): readonly (Norm | undefined)[] {
    return [];
  }

  /** Tensors that are neither norms nor linear layers. */
  protected get otherTensors(): readonly (LazyTensor | undefined)[] {
    return [];
  }

  /** All tensors, norms and biases included, or those that `tensorsOf` returns for its parts. */
  public tensors(tensorsOf = partTensors): readonly LazyTensor[] {
    const { norm, postNorm, layerScale, sumNorms = [], connection } = this.weights;
    const parts = [norm, ...this.innerNorms, ...this.linears, postNorm, ...sumNorms];
    return [
      ...parts.flatMap((part) => tensorsOf(part)),
      ...(layerScale === undefined ? [] : [layerScale]),
      ...connectionTensors(connection),
      ...this.otherTensors.filter((tensor) => tensor !== undefined),
      ...endTensors(this.ends, tensorsOf),
    ];
  }

  /** Tensors as stored that must be floats. */
  public get floatTensors(): readonly LazyTensor[] {
    return this.tensors(storedTensors);
  }

  /** Tensors that stay when the sublayer is removed: norms of the sum, and ends of blocks. */
  public get stayingTensors(): readonly LazyTensor[] {
    const { sumNorms = [] } = this.weights;
    return [...sumNorms.flatMap((norm) => partTensors(norm)), ...endTensors(this.ends)];
  }

  /** Tensors that write into the stream: if they are zero, the sublayer adds nothing. */
  public get outputTensors(): readonly LazyTensor[] {
    return this.outputLinears.flatMap((linear) => partTensors(linear));
  }

  public linearLayers(sublayer: number): LinearLayer[] {
    const whole = this.roles.filter(([, { groups }]) => groups === undefined);
    const added = this.addedLinear;
    return whole.map(([role, linear, expert]) => {
      const { weight, transposed = false, encoding } = linear;
      const [rows = 0, columns = 0] = weight.shape;
      const [out, input] = transposed ? [columns, rows] : [rows, columns];
      const stored = { weight, transposed, ...(encoding === undefined ? {} : { encoding }) };
      const own = {
        ...(expert === undefined ? {} : { expert }),
        ...(linear === added ? { addsToStream: true } : {}),
      };
      return { id: weight.name, sublayer, role, out, in: input, ...stored, ...own };
    });
  }

  /** The linear layer whose outputs are added to the stream as they are, if there is one. */
  protected get addedLinear(): Linear | undefined {
    const { postNorm, layerScale, streamFactor = 1, connection } = this.weights;
    const isPlain = postNorm === undefined && layerScale === undefined && connection === undefined;
    const hasFactors = streamFactor !== 1 || this.shape.residualScale !== 1;
    const [linear, ...others] = this.outputLinears;
    return isPlain && !hasFactors && others.length === 0 ? linear : undefined;
  }

  /** Weights [experts, hiddenSize] and biases [experts] of the router of an MoE layer. */
  public routerLayers(_sublayer: number): LinearLayer[] {
    return [];
  }

  /** Channels or heads that can be removed; undefined if it is only removed as a whole. */
  public get width(): Width | undefined {
    return undefined;
  }

  /** Tensors of the single experts; undefined if none can be removed. */
  public get expertTensors(): ExpertTensors | undefined {
    return undefined;
  }

  public get expertSummary(): ExpertSummary | undefined {
    return undefined;
  }

  /** The experts of an MoE layer; undefined if a table chooses them. */
  public get singleExperts(): SingleExperts | undefined {
    return undefined;
  }

  public get flopsPerToken(): number {
    return linearFlops(this.linears);
  }

  /** Cached values per token. */
  public get cachedNumbers(): number | undefined {
    return undefined;
  }

  /** Tokens that its key/value cache holds at most; undefined for all. */
  public get cacheWindow(): number | undefined {
    return undefined;
  }

  public get runningCosts(): RunningCosts {
    return runningCosts(this.tensors(storedTensors), this.linears);
  }

  public emit(graph: GraphBuilder, given: SublayerInput): Value {
    const { hidden, input = hidden, side, streams, options = {} } = given;
    return graph.within(this.id, () =>
      emitWired(graph, this.shape, this.weights, { hidden, input, streams }, (x) =>
        this.emitBranch(graph, this.emitNormed(graph, x), { x, side, options }),
      ),
    );
  }

  /** Emits the input of the branch. */
  protected emitNormed(graph: GraphBuilder, x: Value): Value {
    const { norm } = this.weights;
    return norm === undefined ? x : emitNorm(graph, this.shape.norm, x, norm);
  }

  /** Emits what stays of the sublayer when it is removed, before the ends of blocks. */
  public emitSkipped(graph: GraphBuilder, hidden: Value): Value {
    return emitNorms(graph, this.shape.norm, hidden, this.weights.sumNorms);
  }

  /** The sublayer without the norms and ends of blocks that stay when it is removed. */
  public get upToSum(): this {
    return this.with({ ends: [], weights: { ...this.weights, sumNorms: [] } });
  }

  public withWeights(weights: Weights): this {
    return this.with({ weights });
  }

  /** The sublayer with factors on its branch and on the stream that it is added to. */
  public withFactors({ branch = 1, stream = 1 }: SumFactors = {}): this {
    const { shape, weights } = this;
    return branch === 1 && stream === 1
      ? this
      : this.with({
          shape: { ...shape, residualScale: shape.residualScale * branch },
          weights: { ...weights, streamFactor: stream },
        });
  }

  /** The sublayer in parallel with the one before it in its block. */
  public withParallel(parallel: Wiring['parallel']): this {
    return parallel === undefined ? this : this.withWeights({ ...this.weights, parallel });
  }

  public withConnection(connection: Connection | undefined): this {
    return connection === undefined ? this : this.withWeights({ ...this.weights, connection });
  }

  /** The sublayer followed by norms of the sum and ends of blocks. */
  public followedBy(norms: readonly Norm[], ends: readonly BlockEnd[]): this {
    const { weights } = this;
    const sumNorms = [...(weights.sumNorms ?? []), ...norms];
    return this.with({
      ends: [...this.ends, ...ends],
      ...(norms.length === 0 ? {} : { weights: { ...weights, sumNorms } }),
    });
  }

  protected with(fields: {
    readonly ends?: readonly BlockEnd[];
    readonly shape?: Shape;
    readonly weights?: Weights;
  }): this {
    const copy = Object.create(Object.getPrototypeOf(this) as object) as this;
    return Object.assign(copy, this, fields);
  }
}

/** Bytes of a number in a cache: as the narrowest floats are stored, and half precision for quantized weights. */
export function cacheBytes(own: readonly LazyTensor[]): number {
  const floats = own.filter(({ dtype }) => !/^[IU]\d/.test(dtype));
  const bytes = floats.map(({ length, shape }) => length / elementCount(shape));
  return floats.length === 0 ? 4 : Math.max(2, Math.min(...bytes));
}

export const linearIfAny = (linear: Linear | undefined): Linear[] =>
  linear === undefined ? [] : [linear];
