import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { verbatim } from '../../message';
import type { Message } from '../../message';
import { emitPatchBranch, patchFlops, patchTensors } from '../patch/symbolic-patch';
import type { SymbolicPatch } from '../patch/symbolic-patch';
import type { PartKind } from '../transformer/architecture';
import { SublayerModule } from './sublayer';
import type { BranchShape, Wiring } from './wiring';

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
