import type { Verification } from '../export/verification';
import type { OutputFormat } from '../export/output-formats';
import type { Message } from '../message';

/** What writing a pruned model did, and how it was checked. */
export interface PruneResult {
  /** Absolute path of the new folder. */
  readonly path: string;
  readonly format: OutputFormat;
  /** How a Hugging Face folder says what is gone. */
  readonly layout?: string;
  /** How other tools load it, as a sentence. */
  readonly loadsWith: Message;
  /** Sublayer ids of the source model that are gone. */
  readonly removed: readonly string[];
  /** Those in whose places patches stand; absent where there are none. */
  readonly patched?: readonly string[];
  /** How many channels or key/value heads are left of sublayers that lost some; absent where there are none. */
  readonly narrowed?: Readonly<Record<string, number>>;
  readonly parametersBefore: number;
  readonly parametersAfter: number;
  /** Size of weights on disk. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly verification: Verification;
  /** Files written, relative to `path`, with their sizes in bytes. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}
