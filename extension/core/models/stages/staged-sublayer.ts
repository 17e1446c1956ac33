import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { say } from '../../message';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { LinearLayer } from '../matrix-encoding';
import type { ComposedModule } from '../modules/composed-model';
import type { RunningCosts } from '../transformer/tapped-part';
import { withShortcut, chain, emitPiece } from './piece';
import type { Piece } from './piece';
import { pieceCosts, plainTensors } from './staged-costs';
import type { StagedKind } from './staged-family';

/** Residual branch x + f(x), and the pieces after it, which remain if it is removed. */
export class StagedSublayer implements ComposedModule {
  public readonly ends = [];
  public readonly stayingTensors = [];
  public readonly expertTensors = undefined;
  public readonly singleExperts = undefined;
  public readonly cachedNumbers = undefined;
  public readonly cacheWindow = undefined;
  public readonly width = undefined;

  public constructor(
    public readonly block: number,
    public readonly kind: StagedKind,
    public readonly branch: Piece,
    /** Remaining pieces, such as an activation of the sum, and the transition to the next stage. */
    public readonly behind: Piece,
  ) {}

  public get id(): string {
    return `block.${this.block}.${this.kind}`;
  }

  public get place(): string {
    return this.kind;
  }

  public tensors(): readonly LazyTensor[] {
    return this.branch.tensors;
  }

  public get floatTensors(): readonly LazyTensor[] {
    return [this.branch, this.behind].flatMap(plainTensors);
  }

  public get outputTensors(): readonly LazyTensor[] {
    return this.branch.outputs ?? [];
  }

  public get runningCosts(): RunningCosts {
    return pieceCosts(chain(say`Sum`, withShortcut(say`Sum`, undefined, this.branch), this.behind));
  }

  public get upToSum(): StagedSublayer {
    return new StagedSublayer(this.block, this.kind, this.branch, chain(say`After the sum`));
  }

  public linearLayers(index: number): LinearLayer[] {
    const all = this.branch.linears ?? [];
    return all.map(({ role, linear: { weight, encoding } }, i): LinearLayer => {
      const [out = 0, input = 0] = weight.shape;
      const isOuter = this.kind === 'feedforward' && all.length > 1;
      const own = isOuter ? (i === 0 ? 'up' : i === all.length - 1 ? 'down' : role) : role;
      return {
        ...{ id: weight.name, sublayer: index, role: own, out, in: input },
        ...{ weight, transposed: false, ...(encoding === undefined ? {} : { encoding }) },
      };
    });
  }

  public emit(graph: GraphBuilder, x: Value): Value {
    const sum = graph.within(this.id, () => {
      const branch = emitPiece(graph, this.branch, x);
      return graph.step('sum', () => graph.op('Add', [x, branch]));
    });
    return this.emitSkipped(graph, sum);
  }

  /** Emits the pieces that remain when the branch is removed. */
  public emitSkipped(graph: GraphBuilder, x: Value): Value {
    return graph.within(`block.${this.block}.end`, () => emitPiece(graph, this.behind, x));
  }
}
