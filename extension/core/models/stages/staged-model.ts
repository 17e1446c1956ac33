import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { say } from '../../message';
import { UserError } from '../../user-error';
import type { BlockNames, InputPort, ModelOutput } from '../layered-model';
import type { MatrixEncoding } from '../matrix-encoding';
import { stream } from '../model-emitter';
import type { Values } from '../model-emitter';
import type { ModelSummary } from '../model-summary';
import { ComposedModel } from '../modules/composed-model';
import { runningCosts } from '../modules/costs';
import { requireLayers, withEncodingFiles } from '../transformer/linear-layers';
import type { EmbeddingAndHead } from '../transformer/embedding-and-head';
import type { RunningCosts } from '../transformer/tapped-part';
import { emitPiece } from './piece';
import { pieceCosts, plainTensors, withEncodingCosts } from './staged-costs';
import type { StagedLayout } from './staged-layout';
import type { StagedSublayer } from './staged-sublayer';

/** Source of the layout of a staged model. */
export interface StagedOrigin {
  /** Returns the layout with these encodings of linear layers, by weight name. */
  readonly layOut: (forms: ReadonlyMap<string, MatrixEncoding>) => StagedLayout;
  /** Class in transformers of the model with its head, if it has one. */
  readonly headClass: string | undefined;
}

/**
 * An image model whose stream changes its size between stages. Steps that change the size can't be removed; they
 * belong to the preceding step.
 */
export class StagedModel extends ComposedModel<StagedLayout, StagedSublayer, StagedModel> {
  public readonly kind = 'stages';
  public readonly inputs: readonly InputPort[];
  public readonly output: ModelOutput;
  public readonly joinsExamples = true;
  public readonly sideValues = [];
  public readonly embeddingAndHead: EmbeddingAndHead = { embedding: undefined, heads: [] };
  public readonly patchWidth = undefined;
  protected readonly keepsCache = false;
  protected readonly outputShape = undefined;

  public constructor(
    summary: ModelSummary,
    files: readonly string[],
    layout: StagedLayout,
    public readonly origin: StagedOrigin,
  ) {
    super(summary, files, layout);
    const { channels, image, head } = layout;
    const [height = 'height', width = 'width'] = image ?? [];
    this.inputs = [
      { name: 'pixel_values', dtype: 'F32', shape: ['batch', channels, height, width] },
    ];
    this.output = {
      name: head === undefined ? 'last_hidden_state' : 'logits',
      givesScores: head !== undefined,
      seesWhole: true,
    };
  }

  public get blockNames(): BlockNames {
    return { places: this.layout.blockPlaces };
  }

  public get sublayers(): readonly StagedSublayer[] {
    return this.layout.sublayers;
  }

  protected get prologueCosts(): RunningCosts {
    return pieceCosts(this.layout.start);
  }

  protected get epilogueCosts(): RunningCosts {
    const { head } = this.layout;
    return head === undefined ? runningCosts([], []) : pieceCosts(head);
  }

  protected get embeddingAndHeadTensors(): readonly LazyTensor[] {
    const { start, head } = this.layout;
    return [start, ...(head === undefined ? [] : [head])].flatMap(plainTensors);
  }

  /** Stages differ in the sizes of their stream. */
  protected shapeOf(): undefined {
    return undefined;
  }

  public sidesOf(): readonly string[] {
    return [];
  }

  public override skippedCosts(index: number): RunningCosts | undefined {
    const { behind } = this.at(index);
    return behind.pieces?.length === 0 ? undefined : pieceCosts(behind);
  }

  public emitInputs(graph: GraphBuilder): { state: Values; side: Values } {
    const first = graph.within('prologue', () =>
      emitPiece(graph, this.layout.start, 'pixel_values'),
    );
    return { state: { [stream]: first }, side: {} };
  }

  public emitSublayer(graph: GraphBuilder, index: number, state: Values): Values {
    return { [stream]: this.at(index).emit(graph, state[stream] ?? '') };
  }

  public emitSkipped(graph: GraphBuilder, index: number, state: Values): Values {
    return { [stream]: this.at(index).emitSkipped(graph, state[stream] ?? '') };
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value): Value {
    const { head } = this.layout;
    return head === undefined
      ? hidden
      : graph.within('epilogue', () => emitPiece(graph, head, hidden));
  }

  /** @throws UserError if an encoding doesn't fit, or a matrix doesn't exist */
  public withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): StagedModel {
    const { summary, files, layout, origin } = this;
    const layers = this.sublayers.flatMap((sublayer, i) => sublayer.linearLayers(i));
    requireLayers(layers, forms, summary.path);
    const all = new Map([
      ...layers.flatMap(({ id, encoding }) =>
        encoding === undefined ? [] : [[id, encoding] as const],
      ),
      ...forms,
    ]);
    const formed = origin.layOut(all);
    return this.remade(
      withEncodingCosts(summary, layout, formed, forms),
      withEncodingFiles(files, forms),
      formed,
    );
  }

  /** @throws UserError, because patches need a stream of constant width. */
  public withPatches(): never {
    throw new UserError(
      'patches-unsupported',
      say`Graph modules are not supported in models with several hidden sizes.`,
      { file: this.summary.path, remedy: say`Choose a model with one hidden size.` },
    );
  }

  public layoutWith(sublayers: readonly StagedSublayer[]): StagedLayout {
    return { ...this.layout, sublayers };
  }

  public remade(
    summary: ModelSummary,
    files: readonly string[],
    layout: StagedLayout,
  ): StagedModel {
    return new StagedModel(summary, files, layout, this.origin);
  }
}
