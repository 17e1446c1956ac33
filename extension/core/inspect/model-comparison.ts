import type { ModelFormat } from '../models/model-headers';
import type { BlockNumbers } from '../models/units';
import type { Message } from '../message';

/** Models to compare. */
export interface CompareRequest {
  /** A model's folder or any of its files. */
  readonly model: string;
  readonly against: string;
  /** Also read the weights of every tensor that both have in the same shape. */
  readonly weights: boolean;
  /** Block numbers if one model was made from the other. */
  readonly numbers?: Numbering;
}

/**
 * Block numbers of two compared models, in the numbering of the model that the other was made from; absent for a model
 * with unchanged numbers.
 */
export interface Numbering {
  readonly model?: BlockNumbers;
  readonly against?: BlockNumbers;
}

/** One of two compared models. */
export interface ComparedModel {
  readonly name: string;
  readonly path: string;
  readonly format: ModelFormat;
  readonly family: string | undefined;
  readonly parameters: number;
  readonly bytes: number;
  readonly tensors: number;
  readonly blocks: number;
}

/** A value that two models have differently; undefined where one lacks it. */
export interface ValueDifference {
  readonly field: string;
  readonly model: string | undefined;
  readonly against: string | undefined;
}

/** Tensor with different dtypes or shapes in the two models. */
export interface FormDifference {
  readonly name: string;
  readonly model: TensorForm;
  readonly against: TensorForm;
}

/** Type and shape of a tensor. */
export interface TensorForm {
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** Differences between the values of a tensor, in float64. */
export interface WeightDifference {
  readonly name: string;
  /** Undefined if a value is NaN or infinite, as for the fields below. */
  readonly maxAbsolute: number | undefined;
  /** ‖a − b‖ / ‖a‖ over all numbers, a of the first model. */
  readonly relativeFrobenius: number | undefined;
  /** a · b / (‖a‖ ‖b‖); undefined also if one of them is zero. */
  readonly cosine: number | undefined;
}

export interface WeightComparison {
  /** In the order of the first model. */
  readonly tensors: readonly WeightDifference[];
  /** Number of identical tensors. */
  readonly equal: number;
  /** Tensors of both models that were not compared, and why. */
  readonly skipped: readonly { readonly name: string; readonly reason: Message }[];
}

/** Differences between two models. */
export interface ModelComparison {
  readonly model: ComparedModel;
  readonly against: ComparedModel;
  readonly config: readonly ValueDifference[];
  readonly metadata: readonly ValueDifference[];
  /** Ids of sublayers that only one of the models has. */
  readonly sublayers: { readonly model: readonly string[]; readonly against: readonly string[] };
  /** Names of tensors that only one of the models has. */
  readonly tensors: { readonly model: readonly string[]; readonly against: readonly string[] };
  readonly forms: readonly FormDifference[];
  /** Number of tensors with the same dtype and shape in both models. */
  readonly sameForm: number;
  readonly weights: WeightComparison | undefined;
}
