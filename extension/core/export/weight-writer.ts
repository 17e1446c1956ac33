import type { LayoutName } from './hugging-face/layouts';
import type { ByteCopier } from './byte-copier';
import type { WritableType } from '../checkpoints/ggml-types';
import type { ModelInput } from '../models/model-input';
import type { LayeredModel } from '../models/layered-model';
import type { AnyModel } from '../models/opened-model';
import type { VerificationOptions } from './verify';
import type { GgufTypes } from './gguf/choose-types';
import type { Message } from '../message';

/** Options that only some formats have. */
export interface WriteOptions extends VerificationOptions {
  /** Largest safetensors file in bytes of data; sharded as the source when absent. */
  readonly maxShardBytes?: number;
  /** Quantization types of the tensors of a GGUF file; as stored if absent. */
  readonly types?: GgufTypes;
}

/** One output format: what it writes, and how that is read back. */
export interface WeightWriter {
  /** Bytes of weights. */
  readonly bytes: number;
  /** Bytes of each tensor by its name, for a GGUF file. */
  readonly tensorBytes?: ReadonlyMap<string, number>;
  /** Requested types of GGUF tensors by name. */
  readonly tensorTypes?: ReadonlyMap<string, WritableType>;
  /** Number of weights. */
  readonly parameters: number;
  /** Layout that represents the removed parts, if the format has several. */
  readonly layout?: LayoutName;
  /** Sentence about how other tools load the result. */
  readonly loadsWith: Message;
  /** Small files by name, config.json among them. */
  readonly texts: Readonly<Record<string, string>>;
  /** Side files of the source that are not copied: where they belong to the result, they are among the texts. */
  readonly leavesOut?: readonly string[];
  /** True if the file includes the tokenizer and settings, so that nothing else is copied. */
  readonly standsAlone?: boolean;
  /** Greatest max |a − b| / max |a| of logits that rounding weights may bring. */
  readonly roundingError?: number;
  /**
   * Part of the source that is written, if not everything. The result must match the output of this
   * part.
   */
  readonly part?: (model: AnyModel) => AnyModel;
  /** Writes the files and returns their names, weights first. */
  write(folder: string, copier: ByteCopier): Promise<string[]>;
  /**
   * Reopens the written model and runs it as `mode`, the source or one of its other modes. Returns logits [tokens,
   * vocabulary] for a language model.
   */
  output(folder: string, input: ModelInput, mode: LayeredModel): Promise<Float32Array>;
  /**
   * Expected value of {@link output}, computed by the graph that is written. Needed for models that
   * quantize their activations: running the source sublayer by sublayer rounds differently, and a
   * router may then select other experts.
   */
  readonly reference?: (input: ModelInput) => Promise<Float32Array>;
}
