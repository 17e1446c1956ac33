import type { BlockEnd } from '../parts/block-end';
import type { Norm } from '../parts/norm';
import { findPatch, emitPatchBranch, patchFlops, patchTensors } from '../patch/symbolic-patch';
import type { PatchSpecs, SymbolicPatch } from '../patch/symbolic-patch';
import type { PartKind } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import type { Attention } from './attention';
import type { Mixer } from './mixer';
import type { Mlp } from './mlp';
import type { Moe } from './moe';
import type { BranchShape, Wiring } from './wiring';
import type { WiringNames } from './wiring-names';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { verbatim } from '../../message';
import type { Message } from '../../message';
import { SublayerModule } from './sublayer';

/** A sublayer of a transformer, with its weights found and checked. */
export type Sublayer = Attention | Mixer | Mlp | Moe | Patch;

/** Configuration with the changes by an earlier run of Espalier. */
interface ChangedConfig extends ConfigFields {
  readonly espalier?:
    | {
        readonly removed?: readonly string[] | undefined;
        readonly patches?: PatchSpecs | undefined;
      }
    | undefined;
}

/** A part of a block whose sublayer is found, unless it was removed or replaced. */
export interface BlockPart {
  readonly block: number;
  readonly place: PartKind;
  /** Kind in the sublayer's id, if it is not the place. */
  readonly kind?: 'cross-attention';
  /** Name of the block's tensors up to the part's own. */
  readonly prefix: string;
  readonly wiring: WiringNames;
  /** Name in the block of the module that a patch replaces. */
  readonly module?: string | undefined;
  /** Ends of the block that follow it. */
  readonly ends?: readonly BlockEnd[];
  readonly find: () => Sublayer;
}

/** Collects sublayers while blocks are laid out. Remainders of removed sublayers are attached to the previous one. */
export class SublayerList {
  public readonly sublayers: Sublayer[] = [];
  /** Ids of sublayers that an earlier pruning removed. */
  public readonly absent: string[] = [];
  /** Ends of blocks before the first sublayer. */
  public readonly startEnds: BlockEnd[] = [];
  private readonly removed: ReadonlySet<string>;
  private readonly patches: PatchSpecs;

  public constructor(
    private readonly tensors: TensorFinder,
    private readonly shape: BranchShape,
    private readonly config: ChangedConfig,
    /** Norms before the first sublayer. */
    public readonly startNorms: Norm[] = [],
  ) {
    const { removed = [], patches = {} } = config.espalier ?? {};
    this.removed = new Set(removed);
    this.patches = patches;
  }

  public get length(): number {
    return this.sublayers.length;
  }

  public add({ block, place, kind, prefix, wiring, module, ends = [], find }: BlockPart): void {
    const id = `block.${block}.${kind ?? place}`;
    const { hiddenSize } = this.shape;
    const { streamNorm, sumNorm, factors } = wiring;
    const findNorm = (name: string | undefined): Norm[] =>
      name === undefined ? [] : [this.tensors.norm(`${prefix}${name}`, hiddenSize)];
    this.keep(findNorm(streamNorm));
    // The first remaining branch reads the stream.
    const parallel = this.sublayers.at(-1)?.block === block ? wiring.parallel : undefined;
    const { [id]: spec } = this.patches;
    if (spec !== undefined && module !== undefined) {
      const patch = findPatch(spec, hiddenSize, (name, shape) =>
        this.tensors.take(`${prefix}${module}.${name}`, shape),
      );
      const weights = { sumNorms: findNorm(sumNorm), parallel };
      this.sublayers.push(new Patch(block, place, this.shape, weights, patch).followedBy([], ends));
    } else if (this.removed.has(id)) {
      this.absent.push(id);
      this.keep(findNorm(sumNorm), ends);
    } else {
      this.sublayers.push(
        find().withFactors(factors?.(this.config)).withParallel(parallel).followedBy([], ends),
      );
    }
  }

  /** Adds norms of the stream and ends of blocks that belong to no sublayer. */
  public keep(norms: readonly Norm[], ends: readonly BlockEnd[] = []): void {
    const last = this.sublayers.pop();
    if (last === undefined) {
      this.startNorms.push(...norms);
      this.startEnds.push(...ends);
    } else {
      this.sublayers.push(last.followedBy(norms, ends));
    }
  }
}

/** A graph module that replaces a removed sublayer. Its only norms are those of the sum. */
export class Patch extends SublayerModule {
  public readonly kind = 'patch';
  public readonly linears = [];
  protected readonly roles = [];
  protected readonly outputLinears = [];

  public constructor(
    block: number,
    private readonly replaced: PartKind,
    { hiddenSize, norm }: BranchShape,
    { sumNorms = [], parallel }: Wiring,
    public readonly patch: SymbolicPatch,
  ) {
    super(block, { hiddenSize, norm, residualScale: 1 }, { sumNorms, parallel });
  }

  public override get detail(): Message {
    return verbatim(this.patch.program);
  }

  public override get place(): PartKind {
    return this.replaced;
  }

  protected override get otherTensors(): readonly LazyTensor[] {
    return patchTensors(this.patch);
  }

  public override get outputTensors(): readonly LazyTensor[] {
    const { tensors } = this.patch;
    return [tensors['up.weight'], tensors['up.bias']].filter((tensor) => tensor !== undefined);
  }

  public override get flopsPerToken(): number {
    return patchFlops(this.patch);
  }

  public mapLinears(): this {
    return this;
  }

  protected emitBranch(graph: GraphBuilder, x: Value): Value {
    return emitPatchBranch(graph, this.patch, x);
  }
}
