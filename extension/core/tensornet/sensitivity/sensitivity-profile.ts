import type { WritableType } from '../../checkpoints/ggml-types';
import type { CalibrationRequest, CalibrationSummary } from '../../data/calibration';
import { randomInputs } from '../../data/calibration-defaults';
import { asksAnswers } from '../../metrics/metrics';
import type { MetricName } from '../../metrics/metrics';
import type { LinearRole, MpoEncoding, EmbeddingOrHeadPlace } from '../../models/matrix-encoding';
import type { Width } from '../../models/width-pruning/width';
import type { ModelSummary, SublayerKind } from '../../models/model-summary';
import type { Origin } from '../../runtime/origin';
import type { Compression, CompressionRequest } from '../compression-choice';
import type { RunChange } from './run-change';

/** Settings of a sensitivity profile. */
export interface SensitivitySettings {
  /** Compressions to try on every layer; without setting or ratio, all default settings of the method. */
  readonly compressions: readonly CompressionRequest[];
  readonly metric: MetricName;
  /** Roles of the layers to measure; all if empty. */
  readonly roles: readonly LinearRole[];
  readonly blocks: readonly number[];
  /** Embedding and head to measure too, with the methods for integers. */
  readonly embeddingAndHead?: readonly EmbeddingOrHeadPlace[];
  /** Shares of channels, key/value heads or experts to keep in width pruning. */
  readonly widths?: readonly number[];
  /**
   * Maximum standard error of a distance, as a share of it, at which measuring stops. 0 measures on all of the
   * calibration text.
   */
  readonly precision: number;
  readonly seed: number;
}

/**
 * Milliseconds of one token on this machine, predicted by its cost model for encodings of these sizes. 0 if unknown:
 * without costs, and for convolutions, whose number of rows is the number of positions.
 */
export interface TokenTimes {
  /** Time of a generated token: one row. */
  readonly decodeMsPerToken: number;
  /** Time of a prompt token, processed together with others. */
  readonly prefillMsPerToken: number;
}

/** Milliseconds of a token from runs of the whole model, including norms and attention. */
export interface RunTimes {
  readonly whole: TokenTimes;
  /** Times of models with one change applied to all parts. */
  readonly changed: readonly (TokenTimes & RunChange)[];
}

/** Effect of compressing one layer alone. */
export interface SensitivityEntry extends Compression, TokenTimes {
  /** Distance of the model's output to the original's, by the profile's metric. */
  readonly distance: number;
  /** Standard error of the distance for similar text, if enough was measured to estimate it. */
  readonly standardError?: number;
  /** ‖W − W′‖ / ‖W‖ (Frobenius). */
  readonly error: number;
  /** Relative error of the layer's outputs on the fitting inputs, if there are statistics. */
  readonly outputError?: number;
  readonly parameters: number;
  readonly bytes: number;
  /** FLOPs of one token; a multiply-add counts as two. */
  readonly flopsPerToken: number;
  /** Type name, for gguf. */
  readonly type?: WritableType;
  /** Faster execution of a matrix product operator on this machine, which work and time refer to. */
  readonly mpoRun?: MpoEncoding['run'];
}

/** Matrix of the original, with the effects of compressing it alone. */
export interface MatrixSensitivity extends TokenTimes {
  /** Id: the name of its weight. */
  readonly tensor: string;
  readonly out: number;
  readonly in: number;
  readonly parameters: number;
  /** Size as stored in the source. */
  readonly bytes: number;
  readonly flopsPerToken: number;
  /** In the order of the settings' compressions, each from the mildest setting to the strongest. */
  readonly entries: readonly SensitivityEntry[];
}

/** Linear layer of a sublayer. */
export interface LayerSensitivity extends MatrixSensitivity {
  /** Id of its sublayer. */
  readonly sublayer: string;
  readonly block: number;
  readonly role: LinearRole;
  /** Expert that it belongs to, in a MoE layer. */
  readonly expert?: number;
}

/** Embedding (a lookup without matmul) or head; quantized without calibration. */
export interface EmbeddingOrHeadSensitivity extends MatrixSensitivity {
  readonly place: EmbeddingOrHeadPlace;
  /** Id of the head, for tied embeddings; the head has the same encoding and is stored with the embedding. */
  readonly tiedTo?: string;
}

/** Effect of width pruning one sublayer alone. */
export interface WidthEntry {
  /** Remaining channels, key/value heads or experts. */
  readonly kept: number;
  /** Removed ones, in the syntax of plans. */
  readonly remove: string;
  readonly distance: number;
  readonly standardError?: number;
}

/**
 * Sublayer whose width can be pruned, by the contribution of its channels, key/value heads or experts to the residual stream
 * on the calibration text.
 */
export interface WidthSensitivity {
  readonly sublayer: string;
  readonly of: Width['of'] | 'experts';
  readonly count: number;
  /** From the widest to the narrowest. */
  readonly entries: readonly WidthEntry[];
}

/** The model as a GGUF file, if types of its tensors were tried. */
export interface GgufFacts {
  /** Size of the file with all tensors unchanged, including the tokenizer. */
  readonly bytes: number;
  /** GGUF tensors of each matrix by its id, with their unchanged sizes; packed weights become float16. */
  readonly tensors: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Bytes of all tensors of each block. */
  readonly blocks: readonly number[];
  /** Sublayers of a block that llama.cpp loads the model without. */
  readonly removable: readonly (readonly string[])[];
  /** Kinds of sublayers whose width can be pruned: each to its own, or all to the same. */
  readonly widths: Readonly<Partial<Record<SublayerKind, 'each' | 'same'>>>;
}

/** The document `NAME.sensitivity.json`: every linear layer × method × setting (arXiv 2401.14109, § 3). */
export interface SensitivityProfile extends Origin {
  readonly format: 'espalier.sensitivity';
  readonly version: 1;
  readonly model: ModelSummary;
  /** Calibration text that distances are measured on. */
  readonly calibration: CalibrationSummary;
  /**
   * Inputs that calibrated compressions were fitted to; absent if these are the measured ones, which makes the
   * distances too optimistic.
   */
  readonly fitting?: CalibrationSummary;
  readonly metric: MetricName;
  readonly metricDefinition: string;
  /** The original's value of the metric: 0, or its perplexity. */
  readonly original: number;
  readonly settings: SensitivitySettings;
  readonly device: string;
  readonly seconds: number;
  readonly sublayerEvaluations: number;
  readonly layers: readonly LayerSensitivity[];
  /** Embedding and head, if selected. */
  readonly embeddingAndHead?: readonly EmbeddingOrHeadSensitivity[];
  /** Sublayers whose width can be pruned, if requested. */
  readonly widths?: readonly WidthSensitivity[];
  readonly gguf?: GgufFacts;
  /** Times of whole models, if the model generates. */
  readonly runs?: RunTimes;
}

/** All matrices of a profile. */
export function allMatrices({
  layers,
  embeddingAndHead = [],
}: Pick<SensitivityProfile, 'layers' | 'embeddingAndHead'>): (
  | LayerSensitivity
  | EmbeddingOrHeadSensitivity
)[] {
  return [...layers, ...embeddingAndHead];
}

/** Partial results of a running profile. */
export type SensitivityEvent =
  | { readonly kind: 'sensitivity-started'; readonly table: Omit<SensitivityProfile, keyof Origin> }
  | {
      readonly kind: 'sensitivity-entry';
      readonly tensor: string;
      readonly entry: SensitivityEntry;
    };

/** Calibration of a profile, for measuring on the same text again. */
export function profileCalibration({
  calibration,
  metric,
}: SensitivityProfile): CalibrationRequest {
  const { source, sequences, length, choice } = calibration;
  const isRandom = /^random \(seed \d+\)$/.test(source);
  return {
    ...(source === 'bundled' ? {} : { file: isRandom ? randomInputs : source }),
    ...(asksAnswers(metric) ? { answers: true } : {}),
    sequences,
    length,
    ...(choice === undefined ? {} : { scores: { file: choice.scores, policy: choice.policy } }),
  };
}
