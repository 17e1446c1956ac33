import type { LayoutName } from './hugging-face/layouts';
import type { ByteCopier } from './byte-copier';
import type { WritableType } from '../checkpoints/ggml-types';
import type { ModelInput } from '../models/model-input';
import type { LayeredModel } from '../models/layered-model';
import type { AnyModel } from '../models/opened-model';
import type { VerificationOptions } from './verify';
import type { GgufTypes } from './gguf/choose-types';
import type { Message } from '../message';

/** Choices that some forms leave open. */
export interface WriteOptions extends VerificationOptions {
  /** Largest safetensors file in bytes of data; sharded as the source when absent. */
  readonly maxShardBytes?: number;
  /** What the tensors of a GGUF file are written as; as stored when absent. */
  readonly types?: GgufTypes;
}

/** One output format: what it writes, and how that is read back. */
export interface WeightWriter {
  /** Bytes of weights. */
  readonly bytes: number;
  /** Bytes of each tensor by its name, where a GGUF file is written. */
  readonly tensorBytes?: ReadonlyMap<string, number>;
  /** Types of the tensors of a GGUF file for which one is asked, by their names. */
  readonly tensorTypes?: ReadonlyMap<string, WritableType>;
  /** Number of weights. */
  readonly parameters: number;
  /** How the result says what is gone, where there are several ways. */
  readonly layout?: LayoutName;
  /** How other tools load the result, as a sentence. */
  readonly loadsWith: Message;
  /** Small files by name, config.json among them. */
  readonly texts: Readonly<Record<string, string>>;
  /** Side files of the source that are not copied: where they belong to the result, they are among the texts. */
  readonly leavesOut?: readonly string[];
  /** Whether what is written holds the tokenizer and settings, so that nothing is copied beside it. */
  readonly standsAlone?: boolean;
  /** Greatest max |a − b| / max |a| of logits that rounding weights may bring. */
  readonly roundingError?: number;
  /** What of the source is written, where that is not all of it: the result has to give the output of this. */
  readonly part?: (model: AnyModel) => AnyModel;
  /** Gives the names of the files written, weights first. */
  write(folder: string, copier: ByteCopier): Promise<string[]>;
  /**
   * The output of what was written, opened anew and run as `mode`, the source or one of its other
   * modes: logits [tokens, vocabulary] of a language model.
   */
  output(folder: string, input: ModelInput, mode: LayeredModel): Promise<Float32Array>;
  /**
   * What {@link output} has to give, by the graph that is written: for models that round their inputs,
   * where the source in pieces gives other numbers, and others yet where a router then chooses others.
   */
  readonly reference?: (input: ModelInput) => Promise<Float32Array>;
}
