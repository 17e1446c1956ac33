import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { say } from '../message';
import type { Message } from '../message';

/**
 * A weight [out, in] in one of the encodings that compression produces. `T` is the type of its
 * tensors: in files (default), or in memory after compression.
 */
export type MatrixEncoding<T = LazyTensor> =
  | DenseEncoding<T>
  | LowRankEncoding<T>
  | MpoEncoding<T>
  | GroupQuantizedEncoding<T>
  | Int8Encoding<T>;

/** float32, float16 or quantization blocks of a GGUF type [out, in]. */
export interface DenseEncoding<T = LazyTensor> {
  readonly kind: 'dense';
  readonly weight: T;
}

/** W = left · right with left [out, rank] and right [rank, in], each in any encoding. */
export interface LowRankEncoding<T = LazyTensor> {
  readonly kind: 'low-rank';
  readonly rank: number;
  readonly left: MatrixEncoding<T>;
  readonly right: MatrixEncoding<T>;
}

/** A matrix product operator (CompactifAI, arXiv 2401.14109, § 2), see core/tensornet/mpo.ts. */
export interface MpoEncoding<T = LazyTensor> {
  readonly kind: 'mpo';
  /** o₁ … o_N, i₁ … i_N and the bonds χ₁ … χ_{N−1} between the sites. */
  readonly sites: { readonly out: readonly number[]; readonly in: readonly number[] };
  readonly bonds: readonly number[];
  /** [left bond, out, in, right bond] of each site. */
  readonly cores: readonly T[];
  /**
   * Contract the cores into a weight when a session is created, or apply them to the input one by
   * one.
   */
  readonly run: 'contracted' | 'chained';
  /**
   * [in]: factors on the input, if the weight was scaled by activations before its decomposition.
   */
  readonly inputScale?: T;
}

/** Low-bit integers with a scale, and a zero point if asymmetric, for each group of `groupSize` inputs. */
export interface GroupQuantizedEncoding<T = LazyTensor> {
  readonly kind: 'group-quantized';
  readonly bits: 4 | 8;
  readonly groupSize: number;
  readonly out: number;
  readonly in: number;
  /** uint8 [out, ceil(in / groupSize), groupSize · bits / 8], the low nibble first along `in`. */
  readonly quants: T;
  /** float32 [out, ceil(in / groupSize)] */
  readonly scales: T;
  /** uint8 [out, ceil(ceil(in / groupSize) · bits / 8)]; 2^(bits − 1) everywhere when absent. */
  readonly zeros?: T;
  /**
   * As com.microsoft MatMulNBits, as the standard DequantizeLinear of opset 21, or dequantized by basic
   * operators, which have gradients.
   */
  readonly run: 'matmul-nbits' | 'qdq' | 'basic';
}

/**
 * int8 with a scale for each output: W[o, i] = scales[o]·quants[i, o]·inputScale[i]. Inputs, times `inputScale`,
 * are quantized row by row as they come.
 */
export interface Int8Encoding<T = LazyTensor> {
  readonly kind: 'int8';
  /** int8 [in, out] */
  readonly quants: T;
  /** float32 [out] */
  readonly scales: T;
  /** float32 [in]: factors on the input, where some inputs are much larger than others. */
  readonly inputScale?: T;
  /**
   * `basic`: inputs are not quantized and weights are dequantized by basic operators, which have gradients. `symmetric`:
   * inputs are quantized around zero, in fewer operators than by default and with larger steps if they are skewed.
   */
  readonly run?: 'basic' | 'symmetric';
}

/** Role of a linear layer in its sublayer. */
export const linearRoles = [
  'query',
  'key',
  'value',
  'query-key-value',
  'output',
  'gate',
  'up',
  'gate-up',
  'down',
  'other',
] as const;
export type LinearRole = (typeof linearRoles)[number];

/** Matrix of a model that can be compressed. */
export interface ModelMatrix {
  /** Name of the weight, which no other matrix of the model has. */
  readonly id: string;
  /** Sizes of y and of x in y = x·Wᵀ, or number and length of the rows that are looked up. */
  readonly out: number;
  readonly in: number;
  /** Stored as [out, in], or [in, out] if `transposed`. */
  readonly weight: LazyTensor;
  readonly transposed: boolean;
  /** True if its rows are positions of a feature map, as in a 1 × 1 convolution. */
  readonly overPositions?: boolean;
  /** Current encoding, if it isn't dense. No tensor is then named `weight`. */
  readonly encoding?: MatrixEncoding;
}

/** A matrix by which a sublayer multiplies rows of its input: y = x·Wᵀ. */
export interface LinearLayer extends ModelMatrix {
  /** Index of its sublayer in the model's summary. */
  readonly sublayer: number;
  readonly role: LinearRole;
  /** For experts: number of the expert, and the average share of tokens that it processes. */
  readonly expert?: { readonly index: number; readonly share: number };
  /** True if the sublayer adds its outputs, with a bias at most, to the residual stream unchanged. */
  readonly addsToStream?: boolean;
}

/** Positions of linear layers outside the sublayers. */
export const embeddingAndHeadPlaces = ['embedding', 'head'] as const;
export type EmbeddingOrHeadPlace = (typeof embeddingAndHeadPlaces)[number];

export const embeddingAndHeadNames: Readonly<Record<EmbeddingOrHeadPlace, Message>> = {
  embedding: say`embedding`,
  head: say`head`,
};

/** The table that tokens are looked up in, with a row for each, or a matrix of the head. */
export interface EmbeddingOrHead extends ModelMatrix {
  readonly place: EmbeddingOrHeadPlace;
  /** Id of the other one, if embedding and head are tied. */
  readonly tiedTo?: string;
}
