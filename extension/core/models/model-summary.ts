import type { CompressedForms } from './forms/form-spec';
import type { PatchSpecs } from './patch/symbolic-patch';
import type { Message } from '../message';

/** What a removable unit of the residual stream computes. */
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

/** Whether a model carries states along the sequence that no key/value cache holds. */
export function hasMixers({ sublayers }: Pick<ModelSummary, 'sublayers'>): boolean {
  return sublayers.some(({ kind }) => kind === 'mixer');
}

/** The experts of a mixture, any of which can be removed by itself; sizes are the mean where they were compressed each in its way. */
export interface ExpertSummary {
  readonly count: number;
  /** How many of them a token is sent to. */
  readonly perToken: number;
  /** How many have to stay, where one is not enough. */
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
  /** `block.N.KIND`, N counted from 0, such as `block.0.attention`; a patch keeps the id of what it stands for. */
  readonly id: string;
  readonly block: number;
  readonly kind: SublayerKind;
  /** Number of weights that go with it, norms and biases included, but for those that another sublayer uses too. */
  readonly parameters: number;
  /** Number of weights of matrices that another sublayer uses too, which stay when this one goes. */
  readonly sharedWeights?: number | undefined;
  /** Names of those matrices. */
  readonly shares?: readonly string[] | undefined;
  /** Bytes of those that go, as stored in the checkpoint. */
  readonly bytes: number;
  /** Multiply-adds count as two; attention scores are not counted, as they depend on the context length. */
  readonly flopsPerToken: number;
  /** Bytes of keys and values kept per token during generation, in the checkpoint's dtype; in half precision where it is quantized. */
  readonly kvBytesPerToken: number;
  /** Whether parts behind it stay when it goes: LN(x + f(x)) becomes LN(x), and the end of its block is as it was. */
  readonly leavesParts?: boolean | undefined;
  /** Of a mixture whose single experts can be removed. */
  readonly experts?: ExpertSummary | undefined;
}

/** Bytes of the weights and, at `tokens` of context, of keys and values, both as stored. */
export function memoryAt(
  { bytes, sublayers }: Pick<ModelSummary, 'bytes' | 'sublayers'>,
  tokens: number,
): number {
  return sublayers.reduce((sum, { kvBytesPerToken }) => sum + tokens * kvBytesPerToken, bytes);
}

/** How the weights of a checkpoint are quantized, as its config.json says. */
export interface QuantizationSummary {
  /** `quant_method` */
  readonly method: string;
  /** What the method itself calls the form of its tensors, such as `gptq_v2`, `gemm` or `nf4`. */
  readonly form?: string | undefined;
  /** Bits of a weight, where all have as many. */
  readonly bits?: number | undefined;
  /** Number of weights that share a scale, where config.json says so. */
  readonly groupSize?: number | undefined;
  /** Whether groups hold inputs of like activations (`desc_act`), which are no neighbours. */
  readonly byActivation?: boolean | undefined;
  /** Sizes of the blocks of a matrix that share a scale, where config.json says so. */
  readonly block?: readonly [rows: number, columns: number] | undefined;
  /** Why the model can be inspected but not run, as a sentence; absent where it runs. */
  readonly refusal?: Message | undefined;
}

/** What `inspect` reports of a model, read from headers alone. */
export interface ModelSummary {
  /** Name shown to people: the model folder's name. */
  readonly name: string;
  /** Absolute path of the model folder, or of the file that is the model. */
  readonly path: string;
  /** `model_type` of config.json, or `onnx`. */
  readonly architecture: string;
  /** Absent where weights are plain numbers, and in GGUF files, whose dtypes tell. */
  readonly quantization?: QuantizationSummary | undefined;
  readonly parameters: number;
  /** Bytes of all tensors in the checkpoint. */
  readonly bytes: number;
  /** Element types present in the checkpoint, with the bytes each takes. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly blocks: number;
  /** Of an encoder–decoder model: how many of its blocks, the first ones, are the encoder's. */
  readonly encoderBlocks?: number | undefined;
  /** Sizes of a language model, as far as its files tell them. */
  readonly hiddenSize?: number;
  readonly vocabularySize?: number;
  readonly maxPositions?: number;
  readonly tiedHead?: boolean;
  readonly sublayers: readonly SublayerSummary[];
  /** Why no sublayer can be removed or changed by itself. */
  readonly fixed?: Message | undefined;
  /** Whether a block stays in its place where nothing of it is left: config.json does not count blocks, or they compute by their number. */
  readonly keepsBlocks?: boolean | undefined;
  /** Whether the first block does so: it has what the others read. */
  readonly keepsFirstBlock?: boolean | undefined;
  /** Ids of sublayers that an earlier pruning took out of the blocks that are left. */
  readonly absent?: readonly string[];
  /** Channels of feed-forwards and key/value heads of attentions, by id, where they are others than the model's. */
  readonly widths?: Readonly<Record<string, number>>;
  /** Matrices that are not stored dense, of a Hugging Face folder that Espalier compressed. */
  readonly compressed?: CompressedForms;
  /** Symbolic patches by the sublayers in whose places they stand. */
  readonly patches?: PatchSpecs;
  /** SHA-256 over config, headers and samples of the weights. */
  readonly fingerprint: string;
  /** Remarks, such as tensors of the checkpoint that the architecture does not use. */
  readonly warnings: readonly Message[];
}
