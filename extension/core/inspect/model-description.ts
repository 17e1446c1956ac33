import type { HeadGroups } from '../models/gguf/gguf-model';
import type { SublayerKind } from '../models/model-summary';
import type { ModelFormat } from '../models/model-headers';
import type { Message } from '../message';

/** Tensor of a model with its location. */
export interface StoredTensor {
  /** Name in its file. */
  readonly name: string;
  /** Named as in safetensors, ggml or ONNX. */
  readonly dtype: string;
  /** Outermost size first. */
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly parameters: number;
  /** Bytes as stored. */
  readonly bytes: number;
  /** Absolute path, links resolved. */
  readonly file: string;
  /** Offset of the first byte in the file; undefined if elements have no fixed location. */
  readonly offset: number | undefined;
  /** The same tensor in the model's Hugging Face folder, if the file's format uses other names. */
  readonly folderTensor?: {
    readonly name: string;
    /** Number of heads whose rows are ordered [half, 2] here and [2, half] in the folder. */
    readonly interleavedHeads?: number;
    /** Set if queries, keys and values are stored by kind here, but by group in the folder. */
    readonly groups?: HeadGroups;
    /** Amount that was added to every value. */
    readonly offset: number;
  };
}

/** Sums over tensors. */
export interface Totals {
  readonly parameters: number;
  readonly bytes: number;
}

/** Removable sublayer of a block, or other tensors of a block grouped by name. */
export interface SublayerDescription extends Totals {
  /** `block.N.KIND` as in prune plans where the model is understood, else `PREFIX.N.KIND`. */
  readonly id: string;
  readonly kind: SublayerKind;
  /** A multiply-add counts as two; attention scores are not included. Undefined if unknown. */
  readonly flopsPerToken: number | undefined;
  /** Bytes of keys and values per token of context, in the checkpoint's dtype. */
  readonly kvBytesPerToken: number | undefined;
  /** Cache elements per token of context, regardless of their dtype. */
  readonly kvElementsPerToken: number | undefined;
  /** Tokens whose keys and values are kept at most, in sliding-window attention. */
  readonly kvWindow?: number | undefined;
  readonly tensors: readonly StoredTensor[];
}

/** Sublayers with one block number, such as all of `model.layers.3.`. */
export interface BlockDescription extends Totals {
  /** `block.N`, or the prefix of the names where these are all that is known. */
  readonly id: string;
  readonly index: number;
  readonly sublayers: readonly SublayerDescription[];
}

/** Part of the model to which a tensor outside of the blocks belongs. */
export const partKinds = ['embedding', 'final-norm', 'head', 'other'] as const;
export type PartKind = (typeof partKinds)[number];

/** Tensors outside of the blocks. */
export interface PartDescription extends Totals {
  readonly part: PartKind;
  readonly flopsPerToken: number | undefined;
  readonly tensors: readonly StoredTensor[];
}

/** Properties of a model, as far as its configuration states them. */
export interface ModelFacts {
  /** For an encoder–decoder model: number of its leading blocks that belong to the encoder. */
  readonly encoderBlocks?: number;
  readonly hiddenSize?: number;
  readonly intermediateSize?: number;
  readonly heads?: number;
  /** Groups of heads that share keys and values. */
  readonly keyValueHeads?: number;
  readonly headSize?: number;
  readonly vocabularySize?: number;
  readonly contextLength?: number;
  readonly slidingWindow?: number;
  readonly experts?: number;
  readonly expertsPerToken?: number;
  readonly tiedHead?: boolean;
  readonly activation?: string;
  readonly ropeTheta?: number;
  readonly quantization?: string;
}

/** Assignment of the tensors to blocks. */
export interface Understanding {
  /** The architecture table, the graph's residual stream, or the tensors' names alone. */
  readonly by: 'architecture' | 'graph' | 'names';
  /** Reason why the model can't be run, if it can't. */
  readonly reason: Message | undefined;
}

/** Share of the model's parameters by purpose. */
export interface Component extends Totals {
  readonly kind: SublayerKind | PartKind;
  readonly tensors: number;
}

/** Bytes of all weights if stored in a dtype, without the scales that quantization adds. */
export interface MemoryEstimate {
  readonly dtype: 'float32' | 'bfloat16' | 'int8' | 'int4';
  readonly bytes: number;
}

/** Bytes of keys and values for 1,000 tokens of context. */
export interface CacheEstimate {
  readonly dtype: 'float32' | 'bfloat16' | 'int8';
  readonly bytesPerThousandTokens: number;
}

/** Rules of thumb for training: weights, gradients and optimizer states, activations left out. */
export interface TuningEstimate {
  /** Mixed precision with Adam: 16 bytes per parameter (arXiv 1910.02054, section 3.1). */
  readonly fullBytes: number;
  readonly lora: readonly LoraEstimate[];
}

/** LoRA (arXiv 2106.09685) on every linear layer of the blocks. */
export interface LoraEstimate {
  readonly rank: number;
  /** rank · (in + out), summed over the layers. */
  readonly parameters: number;
  /** Frozen weights in bfloat16 and 16 bytes per trained parameter. */
  readonly bytes: number;
  /** Training with 4-bit base weights (QLoRA, arXiv 2305.14314). */
  readonly quantizedBytes: number;
}

/** A file stored next to the weights. */
export interface SideFile {
  readonly name: string;
  readonly role:
    | 'config'
    | 'tokenizer'
    | 'generation'
    | 'adapter'
    | 'processor'
    | 'projector'
    | 'template';
  readonly bytes: number;
  /** Contents of the file, if they are short. */
  readonly facts: Readonly<Record<string, string>>;
}

/** Facts that only a graph has. */
export interface GraphFacts {
  readonly opsets: Readonly<Record<string, number>>;
  readonly operators: Readonly<Record<string, number>>;
  readonly inputs: readonly PortFact[];
  readonly outputs: readonly PortFact[];
}

/** Input or output of an ONNX graph. */
export interface PortFact {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[] | undefined;
}

export interface WeightFile {
  /** Absolute path, links resolved. */
  readonly path: string;
  readonly bytes: number;
  readonly tensors: number;
}

/** All that the headers of a model's files tell. */
export interface ModelDescription {
  readonly name: string;
  /** Absolute path of the folder, or of the file that is the model. */
  readonly path: string;
  readonly format: ModelFormat;
  /** `model_type`, `general.architecture` or `onnx`. */
  readonly family: string | undefined;
  readonly understood: Understanding;
  readonly facts: ModelFacts;
  readonly blocks: readonly BlockDescription[];
  readonly parts: readonly PartDescription[];
  readonly totals: Totals & {
    readonly tensors: number;
    /** Parameters that a token passes through; fewer than all where experts are chosen. */
    readonly activeParameters: number | undefined;
    readonly flopsPerToken: number | undefined;
    readonly kvBytesPerToken: number | undefined;
  };
  /** Bytes by element type. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly composition: readonly Component[];
  readonly memory: readonly MemoryEstimate[];
  /** Empty if the cached keys and values are unknown. */
  readonly cache: readonly CacheEstimate[];
  readonly tuning: TuningEstimate;
  readonly graph: GraphFacts | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** The configuration's values by the way to them, such as `rope_scaling.factor`. */
  readonly config: Readonly<Record<string, string>>;
  readonly sideFiles: readonly SideFile[];
  readonly files: readonly WeightFile[];
  readonly warnings: readonly Message[];
}
