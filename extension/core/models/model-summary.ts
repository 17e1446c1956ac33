import type { CompressedEncodings } from './encodings/encoding-spec';
import type { PatchSpecs } from './patch/symbolic-patch';
import type { Message } from '../message';

/** Kind of a removable sublayer. */
export const sublayerKinds = [
  'attention',
  'cross-attention',
  'mixer',
  'feedforward',
  'convolution',
  'expert',
  'parallel',
  'patch',
  'other',
] as const;
export type SublayerKind = (typeof sublayerKinds)[number];

/**
 * True if a model has SSM or linear-attention layers, which carry a state instead of a KV cache.
 */
export function hasMixers({ sublayers }: Pick<ModelSummary, 'sublayers'>): boolean {
  return sublayers.some(({ kind }) => kind === 'mixer');
}

/**
 * Experts of an MoE layer that can be removed individually. Sizes are averages if experts are
 * compressed differently.
 */
export interface ExpertSummary {
  readonly count: number;
  /** Number of experts per token. */
  readonly perToken: number;
  /** Minimum number of experts, if it is greater than one. */
  readonly least?: number | undefined;
  /** Number of groups of consecutive experts that the router chooses from; each keeps the same number of experts. */
  readonly groups?: number | undefined;
  /** Number of weights of one, its row of the router included. */
  readonly parameters: number;
  /** Bytes of those weights as stored. */
  readonly bytes: number;
}

/** One removable unit hᵢ₊₁ = hᵢ + f(hᵢ) of a model, with what it costs. */
export interface SublayerSummary {
  /**
   * `block.N.KIND`, N counted from 0, such as `block.0.attention`. A patch has the id of the
   * sublayer that it replaces.
   */
  readonly id: string;
  readonly block: number;
  readonly kind: SublayerKind;
  /** Number of weights removed with it, norms and biases included, without those that another sublayer shares. */
  readonly parameters: number;
  /** Number of matrix weights shared with another sublayer, which remain when this one is removed. */
  readonly sharedWeights?: number | undefined;
  /** Names of those matrices. */
  readonly shares?: readonly string[] | undefined;
  /** Stored bytes of the weights removed with it. */
  readonly bytes: number;
  /** Multiply-adds count as two; attention scores are not counted, as they depend on the context length. */
  readonly flopsPerToken: number;
  /** Bytes of keys and values kept per token during generation, in the checkpoint's dtype; in half precision where it is quantized. */
  readonly kvBytesPerToken: number;
  /** Tokens whose keys and values are kept at most, in sliding-window attention. */
  readonly kvWindow?: number | undefined;
  /**
   * True if parts after it remain when it is removed: LN(x + f(x)) becomes LN(x), and the end of
   * the block stays.
   */
  readonly leavesParts?: boolean | undefined;
  /** Set for an MoE layer whose experts can be removed individually. */
  readonly experts?: ExpertSummary | undefined;
}

/** Costs of a sublayer's keys and values. */
export type KvCosts = Pick<SublayerSummary, 'kvBytesPerToken' | 'kvWindow'>;

/**
 * Bytes of a sublayer's keys and values at `tokens` of context.
 *
 * @param windowCells tokens that a program keeps for a window; by default those in the window
 */
export function kvCacheBytes(
  { kvBytesPerToken, kvWindow }: KvCosts,
  tokens: number,
  windowCells = (window: number) => window,
): number {
  const kept = kvWindow === undefined ? tokens : Math.min(tokens, windowCells(kvWindow));
  return kept * kvBytesPerToken;
}

/** Bytes of the weights and, at `tokens` of context, of keys and values, both as stored. */
export function memoryAt(
  { bytes, sublayers }: Pick<ModelSummary, 'bytes' | 'sublayers'>,
  tokens: number,
): number {
  return sublayers.reduce((sum, sublayer) => sum + kvCacheBytes(sublayer, tokens), bytes);
}

/** Quantization of a checkpoint's weights, from config.json. */
export interface QuantizationSummary {
  /** `quant_method` */
  readonly method: string;
  /** Tensor format in the method's own terms, such as `gptq_v2`, `gemm` or `nf4`. */
  readonly form?: string | undefined;
  /** Bits per weight, if all layers use the same number. */
  readonly bits?: number | undefined;
  /** Number of weights per scale, if config.json has it. */
  readonly groupSize?: number | undefined;
  /**
   * True if groups contain inputs with similar activations (`desc_act`), which are not adjacent.
   */
  readonly byActivation?: boolean | undefined;
  /** Sizes of matrix blocks that share a scale, if config.json has them. */
  readonly block?: readonly [rows: number, columns: number] | undefined;
  /** Why the model can be inspected but not run, as a sentence; absent where it runs. */
  readonly refusal?: Message | undefined;
}

/** Summary printed by `inspect`, read from headers alone. */
export interface ModelSummary {
  /** Name shown to people: the model folder's name. */
  readonly name: string;
  /** Absolute path of the model folder, or of the file that is the model. */
  readonly path: string;
  /** `model_type` of config.json, or `onnx`. */
  readonly architecture: string;
  /** Absent for unquantized weights, and for GGUF files, whose dtypes contain it. */
  readonly quantization?: QuantizationSummary | undefined;
  readonly parameters: number;
  /** Bytes of all tensors in the checkpoint. */
  readonly bytes: number;
  /** Element types present in the checkpoint, with the bytes each takes. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly blocks: number;
  /** Number of encoder blocks of an encoder–decoder model. They come first. */
  readonly encoderBlocks?: number | undefined;
  /** Sizes of a language model, as far as its files tell them. */
  readonly hiddenSize?: number;
  readonly vocabularySize?: number;
  readonly maxPositions?: number;
  readonly tiedHead?: boolean;
  readonly sublayers: readonly SublayerSummary[];
  /** Why no sublayer can be removed or changed separately. */
  readonly fixed?: Message | undefined;
  /**
   * True if a block keeps its number when all of its sublayers are removed, because config.json
   * doesn't count blocks or they depend on their number.
   */
  readonly keepsBlocks?: boolean | undefined;
  /** True if this only applies to the first block, because other blocks read its values. */
  readonly keepsFirstBlock?: boolean | undefined;
  /** Ids of sublayers that an earlier pruning took out of the blocks that are left. */
  readonly absent?: readonly string[];
  /** MLP channels and key/value heads, by sublayer id, if they differ from the model's. */
  readonly widths?: Readonly<Record<string, number>>;
  /** Matrices that are not stored dense, of a Hugging Face folder that Espalier compressed. */
  readonly compressed?: CompressedEncodings;
  /** Symbolic patches by the id of the sublayer they replace. */
  readonly patches?: PatchSpecs;
  /** SHA-256 over config, headers and samples of the weights. */
  readonly fingerprint: string;
  /** Remarks, such as tensors of the checkpoint that the architecture does not use. */
  readonly warnings: readonly Message[];
}
