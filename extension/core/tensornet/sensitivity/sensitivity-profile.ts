import type { WritableType } from '../../checkpoints/ggml-types';
import type { CalibrationRequest, CalibrationSummary } from '../../data/calibration';
import { randomInputs } from '../../data/calibration-defaults';
import { asksAnswers } from '../../metrics/metrics';
import type { MetricName } from '../../metrics/metrics';
import type { LinearRole, MpoForm, OuterPlace } from '../../models/matrix-encoding';
import type { Width } from '../../models/narrow/width';
import type { ModelSummary } from '../../models/model-summary';
import type { Origin } from '../../runtime/origin';
import type { Compression, CompressionRequest } from '../compression-choice';
import type { RunChange } from './run-change';

/** What is compressed to find how much it matters. */
export interface SensitivitySettings {
  /** The compressions to try on every layer; one without level or ratio stands for all usual levels of its method. */
  readonly compressions: readonly CompressionRequest[];
  readonly metric: MetricName;
  /** Which layers; all when empty. */
  readonly roles: readonly LinearRole[];
  readonly blocks: readonly number[];
  /** Matrices outside the sublayers that are measured as well, by the methods for whole numbers. */
  readonly outer?: readonly OuterPlace[];
  /** Shares of their channels, key/value heads or experts that sublayers are narrowed to. */
  readonly widths?: readonly number[];
  /**
   * Greatest standard error of a distance, as a share of it: measuring stops there. 0 measures on all
   * of the calibration.
   */
  readonly precision: number;
  readonly seed: number;
}

/**
 * Milliseconds of one token on this machine, as its cost model has measured forms of such sizes. 0 where they are not
 * known: without costs, and for convolutions, which have as many rows as an example has positions.
 */
export interface TokenTimes {
  /** Of a token that is generated: one row. */
  readonly decodeMsPerToken: number;
  /** Of a token of a prompt, read with others. */
  readonly prefillMsPerToken: number;
}

/** Milliseconds of a token by runs of the whole model: linear layers, norms and attention itself. */
export interface RunTimes {
  readonly whole: TokenTimes;
  /** Of the model where all that can be is changed in one way. */
  readonly changed: readonly (TokenTimes & RunChange)[];
}

/** What becomes of the model when one layer alone is compressed in one way. */
export interface SensitivityEntry extends Compression, TokenTimes {
  /** Distance of the model's output to the original's, by the table's metric. */
  readonly distance: number;
  /** Of the distance for other text like the calibration, where enough was measured to tell it. */
  readonly standardError?: number;
  /** ‖W − W′‖ / ‖W‖ (Frobenius). */
  readonly error: number;
  /** The same of the layer's outputs on what was fitted to, where there are statistics of it. */
  readonly outputError?: number;
  readonly parameters: number;
  readonly bytes: number;
  /** Multiply-adds of one token, counted as two. */
  readonly flopsPerToken: number;
  /** Of gguf: the type's name. */
  readonly type?: WritableType;
  /** How a matrix product operator runs faster here, which work and time are of. */
  readonly mpoRun?: MpoForm['run'];
}

/** A matrix of the original, and what compressing it alone costs the model. */
export interface MatrixSensitivity extends TokenTimes {
  /** Its id: the name of its weight. */
  readonly tensor: string;
  readonly out: number;
  readonly in: number;
  readonly parameters: number;
  /** As stored in the source. */
  readonly bytes: number;
  readonly flopsPerToken: number;
  /** In the order of the settings' compressions, each from the mildest level to the strongest. */
  readonly entries: readonly SensitivityEntry[];
}

/** A linear layer of a sublayer. */
export interface LayerSensitivity extends MatrixSensitivity {
  /** Id of its sublayer. */
  readonly sublayer: string;
  readonly block: number;
  readonly role: LinearRole;
  /** Of a mixture: the expert that it belongs to. */
  readonly expert?: number;
}

/** An embedding, whose rows are looked up without work, or a head; rounded without calibration. */
export interface OuterSensitivity extends MatrixSensitivity {
  readonly place: OuterPlace;
  /** Of an embedding that is the head too: id of the head, which takes the same form and is stored with it. */
  readonly tiedTo?: string;
}

/** What becomes of the model when one sublayer alone is narrowed. */
export interface WidthEntry {
  /** Channels, key/value heads or experts that are left. */
  readonly kept: number;
  /** The others, as a plan names them. */
  readonly remove: string;
  readonly distance: number;
  readonly standardError?: number;
}

/**
 * A sublayer that can be narrowed, by what its channels, key/value heads or experts add to the stream on
 * calibration.
 */
export interface WidthSensitivity {
  readonly sublayer: string;
  readonly of: Width['of'] | 'experts';
  readonly count: number;
  /** From the widest to the narrowest. */
  readonly entries: readonly WidthEntry[];
}

/** A model as a GGUF file, where types of its tensors were tried. */
export interface GgufFacts {
  /** Of the file with all tensors as stored, tokenizer included. */
  readonly bytes: number;
  /** The tensors that each matrix becomes, by its id, with their bytes as stored: packed weights are float16 there. */
  readonly tensors: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** The document `NAME.sensitivity.json`: every linear layer × method × level (arXiv 2401.14109, § 3). */
export interface SensitivityProfile extends Origin {
  readonly format: 'espalier.sensitivity';
  readonly version: 1;
  readonly model: ModelSummary;
  /** What distances are measured on. */
  readonly calibration: CalibrationSummary;
  /**
   * What compressions that look at inputs were fitted to; absent where that is what distances are
   * measured on, so that those seem better than they are.
   */
  readonly fitting?: CalibrationSummary;
  readonly metric: MetricName;
  readonly metricDefinition: string;
  /** The original's own value of the metric: 0, or its perplexity. */
  readonly original: number;
  readonly settings: SensitivitySettings;
  readonly device: string;
  readonly seconds: number;
  readonly sublayerEvaluations: number;
  readonly layers: readonly LayerSensitivity[];
  /** Embedding and head, where they were asked for. */
  readonly outer?: readonly OuterSensitivity[];
  /** Sublayers that can be narrowed, where that was asked for. */
  readonly widths?: readonly WidthSensitivity[];
  readonly gguf?: GgufFacts;
  /** Where the model generates. */
  readonly runs?: RunTimes;
}

/** All that a table is about. */
export function matricesOf({
  layers,
  outer = [],
}: Pick<SensitivityProfile, 'layers' | 'outer'>): (LayerSensitivity | OuterSensitivity)[] {
  return [...layers, ...outer];
}

/** Partial results of a running profile. */
export type SensitivityEvent =
  | { readonly kind: 'sensitivity-started'; readonly table: Omit<SensitivityProfile, keyof Origin> }
  | {
      readonly kind: 'sensitivity-entry';
      readonly tensor: string;
      readonly entry: SensitivityEntry;
    };

/** The calibration that a table was made with, to measure on it again. */
export function calibrationOf({ calibration, metric }: SensitivityProfile): CalibrationRequest {
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
