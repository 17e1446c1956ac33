import type { Verification } from '../export/verification';
import type { OutputFormat } from '../export/output-formats';
import type { Message } from '../message';

/** Result of writing a pruned model, and of its verification. */
export interface PruneResult {
  /** Absolute path of the new folder. */
  readonly path: string;
  readonly format: OutputFormat;
  /** Layout by which a Hugging Face folder represents the removed parts. */
  readonly layout?: string;
  /** Sentence about how other tools load it. */
  readonly loadsWith: Message;
  /** Ids of the removed sublayers of the source model. */
  readonly removed: readonly string[];
  /** Ids of the sublayers replaced with patches; absent if there are none. */
  readonly patched?: readonly string[];
  /** Remaining channels or key/value heads of width-pruned sublayers; absent if there are none. */
  readonly widths?: Readonly<Record<string, number>>;
  readonly parametersBefore: number;
  readonly parametersAfter: number;
  /** Size of weights on disk. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly verification: Verification;
  /** Files written, relative to `path`, with their sizes in bytes. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}
