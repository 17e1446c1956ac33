import type { SharedModules } from './shared-modules';
import type { Message } from '../message';
import type { Width } from './width-pruning/width';
import type { Dimension, ExternalLocation, SessionGraph, WeightPlace } from '../onnx/graph-builder';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import type { Example } from './model-input';
import type { ModelEmitter } from './model-emitter';
import type { ModelSummary } from './model-summary';
import type { LinearLayer, MatrixEncoding, EmbeddingOrHead } from './matrix-encoding';
import type { SymbolicPatch } from './patch/symbolic-patch';
import type { ExpertTensors } from './transformer/part-tensors';
import { floatDTypes } from '../checkpoints/lazy-tensor';

/** An input of a model, as its file declares it. */
export interface InputPort {
  readonly name: string;
  /** Element type with its safetensors name, if it has one. */
  readonly dtype: string;
  /** Undefined if even the rank is unknown. */
  readonly shape: readonly Dimension[] | undefined;
  /** Minimum number of samples for convolutions over audio. */
  readonly leastSamples?: number;
  /** Input for the transcript of a recording. */
  readonly transcript?: Transcript;
  /** First id of every target, if a text is read as source and target. */
  readonly targetStart?: number | undefined;
  /** Number of rows of the embedding table that its integers index. */
  readonly tableRows?: number;
}

/** Target ids of a transcript, for speech-to-text models. */
export interface Transcript {
  /** Id of the token that comes first. */
  readonly start: number;
  /** Maximum number of ids, including the first one. */
  readonly most: number;
  /** Ids are below. */
  readonly vocabularySize: number;
}

/** Graph whose weights stay in files. */
export interface RunnableGraph {
  readonly externalData: readonly WeightPlace[];
  readonly toBytes: (locate: (data: WeightPlace) => ExternalLocation) => Uint8Array;
  /** The graph with weights that the process computes for a session; absent if all weights are stored as they run. */
  readonly forSession?: () => SessionGraph;
}

/** Part of a model as its own graph. */
export interface GraphPart {
  /** Unique among the parts of the model. */
  readonly key: string;
  /** Memory of its weights at run time: as float32, or in their encoding. */
  readonly bytes: number;
  /** Bytes that stay memory-mapped on the CPU, unless weights are prepacked. */
  readonly mappedBytes?: number;
  /** True if matmuls are slow without prepacking, as for encodings with few bits. */
  readonly needsPrepacking?: boolean;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly build: () => RunnableGraph;
}

/** An input of a part that disables experts of an MoE layer, see {@link ExpertSummary}. */
export interface ExpertMask {
  /** float32 [batch, count]: −∞ for an expert that is not to be chosen, else 0. */
  readonly input: string;
  readonly count: number;
}

/** A way from one boundary between sublayers to the next. */
export interface Step {
  /** Graph to run, if any. */
  readonly part?: GraphPart;
  /** Mask of an MoE layer whose experts can be disabled individually. */
  readonly mask?: ExpertMask;
  /**
   * Source of each value of the next state: an output of the part, a value of the previous state,
   * or a side value.
   */
  readonly next: Readonly<Record<string, string>>;
  /** The step in parts, for an MoE layer with score-based routing. */
  readonly routed?: RoutedSteps | undefined;
}

/** A step that gives the inputs of linear layers as further outputs, float32 [rows, in]. */
export type TappedStep = Step & {
  readonly part: GraphPart;
  /** Names of those outputs by the layers' ids. */
  readonly taps: ReadonlyMap<string, string>;
};

/** Part of an MoE layer that runs separately, with the inputs of its linear layers as further outputs if it is tapped. */
export interface RoutedPart {
  readonly part: GraphPart;
  /** See {@link TappedStep.taps}. */
  readonly taps?: ReadonlyMap<string, string>;
}

/** An MoE layer in parts, so that experts run one after the other; values between them are named by `routedNames`. */
export interface RoutedSteps {
  /** From the state to the rows that experts read, and the experts and weights of each row. */
  readonly route: Pick<Step, 'mask'> & RoutedPart;
  /** From rows and their weights to the weighted output of an expert. */
  readonly experts: readonly RoutedPart[];
  /** From the state and the sum of the experts to the next state. */
  readonly join: Step & RoutedPart;
}

/** Output of a model. */
export interface ModelOutput {
  readonly name: string;
  /** True if its last axis holds logits of classes or of a vocabulary. */
  readonly givesScores: boolean;
  /** True if its values are outputs of a sigmoid or softmax. */
  readonly givesProbabilities?: boolean;
  /** Activation on the last axis of the model's own output that the epilogue omits. */
  readonly activation?: 'Softmax' | 'LogSoftmax';
  /** True if attention is bidirectional, so that no row predicts the next token. */
  readonly seesWhole?: boolean;
}

/**
 * Source of a layered model: the architecture table of decoders, encoders, encoder–decoder or
 * staged vision models, or graph analysis.
 */
export type ModelKind = 'decoder' | 'encoder' | 'encoder-decoder' | 'stages' | 'graph';

/** Step before the first sublayer; also returns side values. */
export interface Prologue extends Step {
  readonly part: GraphPart;
  /** Values of the part, or inputs, that parts need besides the state. */
  readonly sideNames: readonly string[];
  /** True if examples of equal shape can be joined along axis 0: side values then only depend on the shape. */
  readonly joinsExamples: boolean;
}

/** A sublayer as it runs. */
export interface RunnableSublayer extends Step {
  readonly part: GraphPart;
  /** The step up to its sum, without the norms and block ends that stay when it is removed. */
  readonly summed: Step & { readonly part: GraphPart };
  /** The step if it is removed: the norms of its sum and the end of its block, if any. */
  readonly skipped: Step;
  /** The step with the inputs of its linear layers as further outputs. */
  readonly tapped: TappedStep;
  /** Names of the residual stream before and after it. */
  readonly streamNames: { readonly before: string; readonly after: string };
}

/** Tensors of a sublayer, as stored. */
export interface StoredSublayer {
  readonly tensors: readonly LazyTensor[];
  /** Tensors that stay when it is removed: norms of the sum, and the end of its block. */
  readonly stayingTensors: readonly LazyTensor[];
  /** Tensors that write into the stream: if they are zero, the sublayer adds nothing. Empty if unknown. */
  readonly outputTensors: readonly LazyTensor[];
}

/** Sublayer whose linear layers can be compressed. */
export interface QuantizableSublayer {
  readonly linearLayers: readonly LinearLayer[];
  /** Weights and biases of routers, which only a repair changes; none if undefined. */
  readonly routerLayers?: readonly LinearLayer[];
}

/** A sublayer from which channels, heads or experts can be removed. */
export interface PrunableSublayer {
  /** Channels or heads that can be removed; undefined if it is only removed as a whole. */
  readonly width: Width | undefined;
  /** Reason for an undefined width, if known. */
  readonly widthProblem: Message | undefined;
  /** Tensors of the single experts; undefined if none can be removed. */
  readonly expertTensors: ExpertTensors | undefined;
}

/** Sublayer that a patch can replace. */
export interface PatchableSublayer {
  /** Value of the state that a patch reads. */
  readonly patchInput: string;
  /** Last size of that value, k of x + U·G(D·x); undefined if unknown. */
  readonly patchWidth: number | undefined;
  /** Module path within the block that a patch replaces. */
  readonly patchModule: string | undefined;
}

/** A sublayer hᵢ₊₁ = hᵢ + f(hᵢ) of a model. */
export interface LayeredSublayer
  extends
    RunnableSublayer,
    StoredSublayer,
    QuantizableSublayer,
    PrunableSublayer,
    PatchableSublayer {}

/** Tensor name structure of a model's blocks. */
export interface BlockNames {
  /** Tensors of block N are named `${prefix}N.`. */
  readonly prefix?: string;
  /** Prefix of each block's tensors, if blocks are in several numbered lists. */
  readonly places?: readonly string[];
  /** Tensors outside the blocks whose size depends on the number of blocks. */
  readonly sizedByBlocks?: readonly string[];
  /** Tensors in the first block of a list that all of its blocks use: they go on to the first that stays. */
  readonly sharedByBlocks?: readonly string[];
  /** Modules that several blocks share. */
  readonly sharedModules?: SharedModules | undefined;
}

/** Graph from another exporter; it may have several modes with the same sublayers. */
export interface ExportedGraph {
  /** Values of the inputs that select this mode, by name. */
  readonly settings: Example;
  /** True if it reads key/value caches. */
  readonly isCached: boolean;
  /** The model in its other modes, such as with a cache. */
  readonly otherModes: readonly LayeredModel[];
  /** Largest max |a − b| / max |a| of outputs computed in two ways, if more than that of float32. */
  readonly roundingError: number | undefined;
}

/**
 * A model as a residual stream: prologue(inputs) → state before sublayer 0, and side values;
 * sublayer i: state → state, hᵢ₊₁ = hᵢ + f(hᵢ); epilogue(state) → output. The state contains all
 * values needed at a boundary between sublayers: in most models only the residual stream; also the
 * block's input for parallel branches, and the encoder's output in a decoder.
 */
export interface LayeredModel {
  readonly kind: ModelKind;
  readonly summary: ModelSummary;
  /** Files that contain the weights. */
  readonly files: readonly string[];
  readonly inputs: readonly InputPort[];
  readonly prologue: Prologue;
  sublayer(index: number): LayeredSublayer;
  /** Its first output is the model's: logits [batch, sequence, vocabulary] of a language model. */
  readonly epilogue: GraphPart;
  readonly output: ModelOutput;
  /** Embedding and head matrices that can be compressed. */
  readonly embeddingAndHeadMatrices: readonly EmbeddingOrHead[];
  /** Returns the model with other encodings of y = x·Wᵀ for some linear layers, embedding or head, by id. */
  withMatrices(forms: ReadonlyMap<string, MatrixEncoding>): LayeredModel;
  /**
   * Returns this model with patches that replace sublayers, by sublayer id.
   * @throws UserError for a patch that doesn't fit its sublayer.
   */
  withPatches(patches: ReadonlyMap<string, SymbolicPatch>): LayeredModel;
  /** @throws UserError naming a tensor whose dtype can be listed but not run. */
  requireRunnable(): void;
  /** Emits the model's parts into other graphs; undefined where the model is a graph already. */
  readonly emitter: ModelEmitter | undefined;
  /** Undefined if tensors aren't named by block. */
  readonly blockNames: BlockNames | undefined;
  /** Undefined for models laid out from a checkpoint. */
  readonly graph: ExportedGraph | undefined;
}

/** Weights and biases of all routers of a model. */
export const routerLayers = (model: Pick<LayeredModel, 'summary' | 'sublayer'>): LinearLayer[] =>
  model.summary.sublayers.flatMap((_, index) => model.sublayer(index).routerLayers ?? []);

/** True if the model has routers, all in floats, so that they can be trained. */
export function hasTrainableRouters(model: Pick<LayeredModel, 'summary' | 'sublayer'>): boolean {
  const layers = routerLayers(model);
  return layers.length > 0 && layers.every(({ weight }) => floatDTypes.includes(weight.dtype));
}
