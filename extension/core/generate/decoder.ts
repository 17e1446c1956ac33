import type { Message } from '../message';
import type { DeviceName } from '../runtime/device';
import type { LlamaInstallation } from '../runtime/llama/installation';

/** Incremental decoder. For encoder–decoder models, the first call of `read` reads the source. */
export interface Decoder {
  /** Reason why there is no KV cache, so that each token reads the whole text again; undefined if there is one. */
  readonly rereads: Message | undefined;
  /** Reads more tokens and returns the logits of the next one, [vocabulary]. */
  read(ids: Int32Array): Promise<Float32Array>;
  /**
   * Truncates the cached text to at most `length` tokens.
   * @param more number of tokens that will be read next
   * @returns number of tokens still cached: 0 if the model has recurrent state, which can't be truncated, or if reading
   *   from the start is faster
   */
  rewind(length: number, more?: number): number;
  dispose(): Promise<void>;
  /** Release of llama.cpp, if it runs the model. */
  readonly llamaCpp?: string | undefined;
  /** Time of the last read in another process, without passing on the logits; undefined if this process runs the model. */
  readonly readMilliseconds?: number | undefined;
}

/** Options for running a model for generation. */
export interface DecoderOptions {
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** Ids of sublayers and experts to skip. */
  readonly removed: readonly string[];
  /**
   * True if threads spin while waiting, as in a session; by default depends on the load of the machine. Use the same
   * value for models that are compared.
   */
  readonly spin?: boolean;
  /** Runs the model, which is a GGUF file, in llama.cpp. */
  readonly llama?: LlamaInstallation | undefined;
}
