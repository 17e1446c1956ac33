import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type {
  BlockNames,
  GraphPart,
  InputPort,
  LayeredModel,
  LayeredSublayer,
  ModelOutput,
  Prologue,
  Step,
  TappedStep,
} from '../layered-model';
import type { LinearLayer, MatrixEncoding, OuterMatrix } from '../matrix-encoding';
import type { ModelSummary } from '../model-summary';
import { requireLayers, withFormFiles } from '../transformer/linear-layers';
import { requireRunnableTensors } from '../transformer/runnable';
import { tappedPart } from '../transformer/tapped-part';
import type { BuilderPart } from '../transformer/tapped-part';
import { UserError } from '../../user-error';
import { added, chain } from './piece';
import type { Piece } from './piece';
import { costsOfPiece, plainTensors, withFormCosts } from './staged-costs';
import type { StagedLayout, StagedSublayer } from './staged-layout';
import { inEnglish, say, verbatim } from '../../message';

const pixels = 'pixel_values';
const stream = 'hidden';
const nextStream = 'next';

/** What a model of stages was laid out by. */
export interface StagedOrigin {
  /** The layout with other forms of some linear layers. */
  readonly layOut: (forms: ReadonlyMap<string, MatrixEncoding>) => StagedLayout;
  /** transformers' class with the head, where there is one. */
  readonly headClass: string | undefined;
}

/** A model of images whose stream changes its size between stages: what does so stays, and belongs to the step in front of it. */
export class StagedModel implements LayeredModel {
  public readonly kind = 'stages';
  public readonly emitter = undefined;
  public readonly graph = undefined;
  public readonly inputs: readonly InputPort[];
  public readonly output: ModelOutput;
  public readonly outerMatrices: readonly OuterMatrix[] = [];

  public constructor(
    public readonly summary: ModelSummary,
    public readonly files: readonly string[],
    public readonly layout: StagedLayout,
    public readonly origin: StagedOrigin,
  ) {
    const { channels, image, head } = layout;
    const [height = 'height', width = 'width'] = image ?? [];
    this.inputs = [{ name: pixels, dtype: 'F32', shape: ['batch', channels, height, width] }];
    this.output = {
      name: head === undefined ? 'last_hidden_state' : 'logits',
      givesScores: head !== undefined,
      seesWhole: true,
    };
  }

  public get blockNames(): BlockNames {
    return { places: this.layout.blockPlaces };
  }

  public get prologue(): Prologue {
    return {
      part: part('prologue', this.layout.start, pixels, stream),
      next: { [stream]: stream },
      sideNames: [],
      joinsExamples: true,
    };
  }

  public sublayer(index: number): LayeredSublayer {
    const sublayer = this.layout.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of ${this.layout.sublayers.length}`);
    }
    return new SublayerOfStages(sublayer, index);
  }

  public get epilogue(): BuilderPart {
    return part('epilogue', this.layout.head ?? chain(say`Output`), stream, this.output.name);
  }

  /** @throws UserError where a form does not fit, or there is no such matrix. */
  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): StagedModel {
    const { summary, files, layout, origin } = this;
    const layers = layout.sublayers.flatMap(stagedLinearLayers);
    requireLayers(layers, forms, summary.path);
    const all = new Map([
      ...layers.flatMap(({ id, form }) => (form === undefined ? [] : [[id, form] as const])),
      ...forms,
    ]);
    const formed = origin.layOut(all);
    return new StagedModel(
      withFormCosts(summary, layout, formed, forms),
      withFormFiles(files, forms),
      ...([formed, origin] as const),
    );
  }

  /** @throws UserError: a patch stands in a stream of one width. */
  public withPatches(): never {
    throw new UserError(say`Models of several widths can't hold graph modules.`, {
      file: this.summary.path,
      remedy: say`Choose a model with one width.`,
    });
  }

  public requireRunnable(): void {
    requireRunnableTensors(this.steps().flatMap(plainTensors));
  }

  /** Emits the model without the sublayers of `removed`, from its pixels to its output. */
  public emitWhole(graph: GraphBuilder, removed: ReadonlySet<number>): void {
    const [input] = this.inputs;
    graph.input(pixels, DataType.FLOAT, input?.shape ?? []);
    const last = this.steps(removed).reduce(
      (x, piece) => graph.within(inEnglish(piece.label), () => piece.emit(graph, x)),
      pixels,
    );
    graph.output(this.output.name, last, DataType.FLOAT);
  }

  /** Everything in order, but for the branches of `removed`. */
  private steps(removed: ReadonlySet<number> = new Set()): readonly Piece[] {
    const { start, sublayers, head } = this.layout;
    return [
      start,
      ...sublayers.flatMap(({ id, branch, behind }, index) =>
        removed.has(index) ? [behind] : [added(verbatim(id), undefined, branch), behind],
      ),
      ...(head === undefined ? [] : [head]),
    ];
  }
}

/** A sublayer of a model of stages. */
class SublayerOfStages implements LayeredSublayer {
  public readonly part: BuilderPart;
  public readonly next = { [stream]: nextStream };
  public readonly routed = undefined;
  public readonly streamNames = { before: stream, after: stream };
  public readonly stayingTensors = [];
  public readonly width = undefined;
  public readonly widthProblem = undefined;
  public readonly expertTensors = undefined;
  public readonly patchInput = stream;
  public readonly patchWidth = undefined;
  public readonly patchModule = undefined;

  public constructor(
    private readonly sublayer: StagedSublayer,
    private readonly index: number,
  ) {
    const { id, branch, behind } = sublayer;
    const whole = chain(verbatim(id), added(say`Sum`, undefined, branch), behind);
    this.part = part(id, whole, stream, nextStream);
  }

  public get summed(): Step & { readonly part: BuilderPart } {
    const { id, branch } = this.sublayer;
    const sum = added(say`Sum`, undefined, branch);
    return { part: part(`${id}.summed`, sum, stream, nextStream), next: this.next };
  }

  public get skipped(): Step {
    const { id, behind } = this.sublayer;
    return behind.pieces?.length === 0
      ? { next: { [stream]: stream } }
      : { part: part(`${id}.skipped`, behind, stream, nextStream), next: this.next };
  }

  public get tapped(): TappedStep {
    return { next: this.next, ...tappedPart(this.part, this.linearLayers) };
  }

  public get tensors(): readonly LazyTensor[] {
    return this.sublayer.branch.tensors;
  }

  public get outputTensors(): readonly LazyTensor[] {
    return this.sublayer.branch.outputs ?? [];
  }

  public get linearLayers(): readonly LinearLayer[] {
    return stagedLinearLayers(this.sublayer, this.index);
  }
}

/** Linear layers of sublayer `index` that can take another encoding. */
function stagedLinearLayers({ kind, branch }: StagedSublayer, index: number): LinearLayer[] {
  const all = branch.linears ?? [];
  return all.map(({ role, linear: { weight, form } }, i): LinearLayer => {
    const [out = 0, input = 0] = weight.shape;
    const isOuter = kind === 'feedforward' && all.length > 1;
    const own = isOuter ? (i === 0 ? 'up' : i === all.length - 1 ? 'down' : role) : role;
    return {
      ...{ id: weight.name, sublayer: index, role: own, out, in: input },
      ...{ weight, transposed: false, ...(form === undefined ? {} : { form }) },
    };
  });
}

/** A piece as a graph; the sizes of its stream are not promised, as stages differ in them. */
function part(key: string, piece: Piece, input: string, output: string): BuilderPart & GraphPart {
  return {
    key,
    ...costsOfPiece(piece),
    inputs: [input],
    outputs: [output],
    build: () => {
      const graph = new GraphBuilder(key);
      graph.input(input, DataType.FLOAT);
      graph.output(
        output,
        graph.within(key, () => piece.emit(graph, input)),
        DataType.FLOAT,
      );
      return graph;
    },
  };
}
