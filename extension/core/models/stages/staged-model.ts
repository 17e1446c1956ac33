import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type {
  GraphPart,
  InputPort,
  LayeredModel,
  ModelOutput,
  PatchInput,
  Step,
  TappedStep,
} from '../layered-model';
import { eightBitError, roundsInputs } from '../forms/form-facts';
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
  public readonly inputs: readonly InputPort[];
  public readonly output: ModelOutput;
  public readonly sideNames: readonly string[] = [];
  public readonly joinsExamples = true;
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

  public get blockPlaces(): readonly string[] {
    return this.layout.blockPlaces;
  }

  public get prologue(): Step & { readonly part: BuilderPart } {
    return {
      part: part('prologue', this.layout.start, pixels, stream),
      next: { [stream]: stream },
    };
  }

  public sublayer(index: number): Step & { readonly part: BuilderPart } {
    const { id, branch, behind } = this.at(index);
    return over(id, chain(verbatim(id), added(say`Sum`, undefined, branch), behind));
  }

  public summed(index: number): Step & { readonly part: BuilderPart } {
    const { id, branch } = this.at(index);
    return over(`${id}.summed`, added(say`Sum`, undefined, branch));
  }

  public skipped(index: number): Step {
    const { id, behind } = this.at(index);
    return behind.pieces?.length === 0
      ? { next: { [stream]: stream } }
      : over(`${id}.skipped`, behind);
  }

  public streamNames(): { readonly before: string; readonly after: string } {
    return { before: stream, after: stream };
  }

  public get epilogue(): BuilderPart {
    return part('epilogue', this.layout.head ?? chain(say`Output`), stream, this.output.name);
  }

  public outputTensors(index: number): readonly LazyTensor[] {
    return this.at(index).branch.outputs ?? [];
  }

  public sublayerTensors(index: number): readonly LazyTensor[] {
    return this.at(index).branch.tensors;
  }

  public linearLayers(index: number): readonly LinearLayer[] {
    const { kind, branch } = this.at(index);
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

  public get roundingError(): number | undefined {
    const all = this.layout.sublayers.flatMap(({ branch }) => branch.linears ?? []);
    return all.some(({ linear: { form } }) => form !== undefined && roundsInputs(form))
      ? eightBitError
      : undefined;
  }

  public tapped(index: number): TappedStep {
    const step = this.sublayer(index);
    return { ...step, ...tappedPart(step.part, this.linearLayers(index)) };
  }

  /** @throws UserError where a form does not fit, or there is no such matrix. */
  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): StagedModel {
    const { summary, files, layout, origin } = this;
    const layers = layout.sublayers.flatMap((_, index) => this.linearLayers(index));
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

  public patchInput(): PatchInput {
    return { value: stream, width: undefined };
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

  private at(index: number): StagedSublayer {
    const sublayer = this.layout.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of ${this.layout.sublayers.length}`);
    }
    return sublayer;
  }
}

function over(key: string, piece: Piece): Step & { readonly part: BuilderPart } {
  return { part: part(key, piece, stream, nextStream), next: { [stream]: nextStream } };
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
