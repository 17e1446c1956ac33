import type { Message } from '../message';
import type { DeviceName } from '../runtime/device';

/** Reads a text token by token; where the model reads source and target, what is read first is the source. */
export interface Decoder {
  /** Why it keeps nothing between tokens, so that each reads the whole text again; undefined where it does keep. */
  readonly rereads: Message | undefined;
  /** Reads more tokens; gives the logits of what comes next, [vocabulary]. */
  read(ids: Int32Array): Promise<Float32Array>;
  /**
   * Forgets all that was read but at most so many tokens.
   * @param more tokens that will be read next
   * @returns how many it still knows: none if it keeps a state, which can't be cut, or would read the others faster from
   *   the start
   */
  rewind(length: number, more?: number): number;
  dispose(): Promise<void>;
}

/** Where a model is run for generation. */
export interface DecoderOptions {
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** Ids of sublayers and experts that are left out. */
  readonly removed: readonly string[];
  /**
   * Whether threads wait busily, as for a session; by the load of the machine if absent. Models that are compared have to
   * wait alike.
   */
  readonly spin?: boolean;
}
