import type { SharedModules } from './shared-modules';
import type { Message } from '../message';
import type { Width } from './narrow/width';
import type { Dimension, ExternalLocation, SessionGraph, WeightPlace } from '../onnx/graph-builder';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import type { Example } from './model-input';
import type { ModelEmitter } from './model-emitter';
import type { ModelSummary } from './model-summary';
import type { LinearLayer, MatrixEncoding, OuterMatrix } from './matrix-encoding';
import type { SymbolicPatch } from './patch/symbolic-patch';
import type { ExpertTensors } from './transformer/part-tensors';

/** An input of a model, as its file declares it. */
export interface InputPort {
  readonly name: string;
  /** Element type, named as in safetensors where it has it. */
  readonly dtype: string;
  /** Undefined where not even the rank is known. */
  readonly shape: readonly Dimension[] | undefined;
  /** Fewest samples that the convolutions over audio take. */
  readonly leastSamples?: number;
  /** Where it takes the transcript of a recording. */
  readonly transcript?: Transcript;
}

/** What a transcript becomes for a model that writes down what it hears. */
export interface Transcript {
  /** The id in front of it. */
  readonly start: number;
  /** Most ids, that in front included. */
  readonly most: number;
  /** Ids are below. */
  readonly vocabularySize: number;
}

/** A graph whose weights stay in files. */
export interface RunnableGraph {
  readonly externalData: readonly WeightPlace[];
  readonly toBytes: (locate: (data: WeightPlace) => ExternalLocation) => Uint8Array;
  /** The graph with weights that the process computes for a session; absent if all weights are stored as they run. */
  readonly forSession?: () => SessionGraph;
}

/** A piece of a model as a graph of its own. */
export interface GraphPart {
  /** Unique among the parts of the model. */
  readonly key: string;
  /** Bytes its weights take where it runs: as float32, or in the form that they have. */
  readonly bytes: number;
  /** How many of them stay mapped from their file on the CPU, unless they are repacked. */
  readonly mappedBytes?: number;
  /** Whether its products are slow unless weights are repacked first, as those of few bits are. */
  readonly needsPrepacking?: boolean;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly build: () => RunnableGraph;
}

/** An input of a part by which experts of a mixture are left out, see {@link ExpertSummary}. */
export interface ExpertMask {
  /** float32 [batch, count]: −∞ for an expert that is not to be chosen, else 0. */
  readonly input: string;
  readonly count: number;
}

/** A way from one boundary between sublayers to the next. */
export interface Step {
  /** What has to be computed, if anything. */
  readonly part?: GraphPart;
  /** Of a mixture whose single experts can be left out. */
  readonly mask?: ExpertMask;
  /**
   * Where each value of the next state comes from: an output of the part, or else a value of the
   * state before, or else a side value.
   */
  readonly next: Readonly<Record<string, string>>;
}

/** A step that gives the inputs of linear layers as further outputs, float32 [rows, in]. */
export type TappedStep = Step & {
  readonly part: GraphPart;
  /** Names of those outputs by the layers' ids. */
  readonly taps: ReadonlyMap<string, string>;
};

/** What a patch reads. */
export interface PatchInput {
  readonly value: string;
  /** k of x + U·G(D·x). */
  readonly width: number | undefined;
}

/** What a model gives. */
export interface ModelOutput {
  readonly name: string;
  /** Whether its last axis holds logits of classes or of a vocabulary. */
  readonly givesScores: boolean;
  /** Whether its numbers are those of a sigmoid or softmax. */
  readonly givesProbabilities?: boolean;
  /** What the model's own output applies to the last axis, where the epilogue leaves it out. */
  readonly activation?: 'Softmax' | 'LogSoftmax';
  /** Whether each row has seen the whole input, so that none predicts what comes next. */
  readonly seesWhole?: boolean;
}

/** What a model is laid out from: an architecture table of decoders, encoders, encoder–decoder models or models of stages, or a graph. */
export type ModelKind = 'decoder' | 'encoder' | 'encoder-decoder' | 'stages' | 'graph';

/**
 * A model as a residual stream: prologue(inputs) → state in front of sublayer 0, and side values;
 * sublayer i: state → state, hᵢ₊₁ = hᵢ + f(hᵢ); epilogue(state) → output. The state is what must be
 * known at a boundary between sublayers: the stream alone in most models; the block's input beside
 * it where branches run in parallel; the encoder's result in a decoder.
 */
export interface LayeredModel {
  readonly kind: ModelKind;
  readonly summary: ModelSummary;
  readonly inputs: readonly InputPort[];
  /** Values of the prologue, or inputs, that parts need besides the state. */
  readonly sideNames: readonly string[];
  readonly prologue: Step & { readonly part: GraphPart };
  sublayer(index: number): Step & { readonly part: GraphPart };
  /** Sublayer `index` up to its sum, in front of what stays when it goes; the sum is the stream behind. */
  summed(index: number): Step & { readonly part: GraphPart };
  /** What replaces sublayer `index` when it is skipped: the norms of its sum and the end of its block, if any. */
  skipped(index: number): Step;
  /** The stream in front of and behind sublayer `index`. */
  streamNames(index: number): { readonly before: string; readonly after: string };
  /** Its first output is the model's: logits [batch, sequence, vocabulary] of a language model. */
  readonly epilogue: GraphPart;
  readonly output: ModelOutput;
  /** Greatest max |a − b| / max |a| of outputs computed in two ways, where it is more than float32's. */
  readonly roundingError?: number | undefined;
  /**
   * Whether examples of equal shape can be joined along axis 0: side values then depend on the shape
   * alone.
   */
  readonly joinsExamples: boolean;
  /** What belongs to the single experts of sublayer `index`; undefined where none can be removed. */
  expertTensors?(index: number): ExpertTensors | undefined;
  /** What sublayer `index` can lose without being removed; undefined where it can only stay or go as a whole. */
  width?(index: number): Width | undefined;
  /** Why it can't lose less than all, where more is known than its kind tells. */
  whyNoWidth?(index: number): Message | undefined;
  /** Tensors by which sublayer `index` adds to the stream: with zeros in them it adds nothing. */
  outputTensors?(index: number): readonly LazyTensor[];
  /** The linear layers of sublayer `index` that can take another encoding. */
  linearLayers(index: number): readonly LinearLayer[];
  /** The matrices of embedding and head that can take another encoding. */
  readonly outerMatrices: readonly OuterMatrix[];
  /** Sublayer `index`, whose part gives what goes into its linear layers as well. */
  tapped(index: number): TappedStep;
  /** A mixture whose part gives what each expert, in order, adds to the rows sent to it; undefined elsewhere. */
  routed?(index: number): TappedStep | undefined;
  /** This model with other forms of some linear layers or outer matrices, by id; forms are those of y = x·Wᵀ. */
  withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): LayeredModel;
  /**
   * This model with patches in the places of sublayers, by their ids.
   * @throws UserError where one cannot stand there.
   */
  withPatches(patches: ReadonlyMap<string, SymbolicPatch>): LayeredModel;
  /** Name within its block of the module that a patch of this sublayer takes the place of. */
  patchModule?(id: string): string;
  /** What a patch of sublayer `index` reads: a value of the state, and its last size where that is known. */
  patchInput(index: number): PatchInput;
  /** Names of tensors outside the blocks whose size depends on their number. */
  readonly sizedByBlocks?: readonly string[];
  /** Tensors of sublayer `index`, as stored. */
  sublayerTensors(index: number): readonly LazyTensor[];
  /** Those of them that stay when it goes: norms of the sum, and the end of its block. */
  stayingTensors?(index: number): readonly LazyTensor[];
  /** @throws UserError naming a tensor whose dtype can be listed but not run. */
  requireRunnable(): void;
  /** Emits the model's parts into other graphs; undefined where the model is a graph already. */
  readonly emitter?: ModelEmitter;
  /** Tensors of block N are named `${blocksPrefix}N.`; undefined where names tell nothing of blocks. */
  readonly blocksPrefix?: string;
  /** What the names of each block's tensors begin with, where blocks of several lists are numbered one by one. */
  readonly blockPlaces?: readonly string[];
  /** Modules that some blocks hold for others. */
  readonly sharedModules?: SharedModules | undefined;
  /** Tensors in the first block of a list that all of its blocks use: they go on to the first that stays. */
  readonly sharedByBlocks?: readonly string[];
  /** What the decoder reads in front of a target, where a text is read as source and target. */
  readonly targetStart?: number | undefined;
  /** Rows of the table that an input of whole numbers looks up, by its name, where the model has one. */
  readonly tableRows?: Readonly<Record<string, number>>;
  /** Inputs that do not concern the layers but choose how the whole graph runs, with what makes it run like this. */
  readonly settings?: Example;
  /** Other ways that the model runs with the same sublayers, such as with a cache. */
  readonly otherModes?: readonly LayeredModel[];
  /** Whether this mode goes on from key/value caches. */
  readonly isCached?: boolean;
  /** Where the weights lie. */
  readonly files: readonly string[];
}
