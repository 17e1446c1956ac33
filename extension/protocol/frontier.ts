import type { Message } from '../core/message';

/** A size that a model can be written in. */
export interface OfferedType {
  /** Request for it: a type such as `Q5_K_M`, or a percentage for the best mix. */
  readonly size: string;
  /** Title of a mix; undefined for a type. */
  readonly mix: Message | undefined;
  readonly bytes: number;
  /** Bytes of the original's weight files. */
  readonly originalBytes: number;
  /** Quantization type of the original's weights, if every size quantizes them again. */
  readonly requantizes: string | undefined;
  /** Typical loss of other models. */
  readonly loss: Message;
  /** Perplexity over the original's, if this model was written so before. */
  readonly perplexityRatio: number | undefined;
  /** Loss as a number, if known for this model or published for another. */
  readonly known: KnownLoss | undefined;
  readonly seconds: number;
  /** Reasons to think twice. */
  readonly marks: Message | undefined;
  /** True if it can't be chosen, for the reason in `marks`. */
  readonly isForbidden: boolean;
}

/** Loss of a quantized model against its original. */
export interface KnownLoss {
  /** Nats per token; undefined if it was not measured. */
  readonly klDivergence: number | undefined;
  /** Perplexity over the original's. */
  readonly perplexityRatio: number;
  /** False if measured on another model. */
  readonly isMeasured: boolean;
}

/** A model without the sublayers that the first rounds of a search remove. */
export interface PrunedSize {
  readonly rounds: number;
  readonly bytes: number;
  /** Measured by the metric of the search. */
  readonly distance: number;
}

/** Summary of the changes of a plan. */
export interface PlanSize {
  readonly sumOfDistances: number;
  readonly compressed: number;
  readonly removed: number;
  readonly widthPruned: number;
}

/** Plan that no other plan beats, with its cost in the unit of the budget and as a share of the original. */
export type FrontPlan = PlanSize & { readonly cost: number; readonly share: number };

/** The best compression plans of all sizes, in bytes. */
export interface PlannedSizes {
  readonly metric: string;
  readonly points: readonly FrontPlan[];
}
