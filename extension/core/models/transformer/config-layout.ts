import type { ErrorCode } from '../../error-codes';
import type { Message } from '../../message';

/** Fields of a config.json by name. */
export type ConfigFields = Readonly<Record<string, unknown>>;

/**
 * Fields that are always at the top level, even if `nested` names an object that holds the others.
 */
export const outsideNested: readonly string[] = [
  'model_type',
  'architectures',
  'auto_map',
  'quantization_config',
  'espalier',
];

/** Merges the fields of `nested` into the top level. On conflicts, `nested` wins. */
export function flattened(config: ConfigFields, nested: string | undefined): ConfigFields {
  const inner = nested === undefined ? undefined : config[nested];
  if (typeof inner !== 'object' || inner === null) {
    return config;
  }
  const topLevelFields = outsideNested.map((field) => [field, config[field]] as const);
  return {
    ...config,
    ...inner,
    ...Object.fromEntries(topLevelFields.filter(([, value]) => value !== undefined)),
    // A head that is not stored is tied, whichever part says so.
    ...(config['tie_word_embeddings'] === true ? { tie_word_embeddings: true } : {}),
  };
}

/** An invalid field, and how to fix it. */
export interface ConfigFault {
  readonly field: string;
  readonly code: ErrorCode;
  readonly problem: Message;
  readonly remedy: Message;
}

/** Deviations of a family's config.json from the default layout. */
export interface ConfigLayout {
  /** Field that contains all others, except `model_type` and those added by Espalier or a quantizer. */
  readonly nested?: string;
  /** The family's names of default fields. */
  readonly names?: Readonly<Record<string, string>>;
  /** Defaults of the family's configuration class. */
  readonly defaults?: (config: ConfigFields) => ConfigFields;
  /** Defaults of lists with an entry per block. */
  readonly lists?: Readonly<Record<string, (config: ConfigFields, block: number) => unknown>>;
  /** Lists with an entry per block that are not named after layers. */
  readonly perBlock?: readonly string[];
  /** Fields that change with the number of blocks. */
  readonly byBlockCount?: (config: ConfigFields, blocks: number) => ConfigFields;
  /** Fields computed from others, which override the file. */
  readonly computed?: (config: ConfigFields) => ConfigFields;
  /** Meaning of values that are misleading, by field. */
  readonly meant?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Fields that refer to block numbers, for the remaining blocks; undefined if they can't express the selection. */
  readonly pruned?: (config: ConfigFields, blocks: readonly number[]) => ConfigFields | undefined;
  /** Why `pruned` can fail, as a sentence, if block kinds are described by more than periods. */
  readonly pruningProblem?: Message;
  /** True if no field counts all blocks and `pruned` sets the number of remaining blocks. */
  readonly isUnnumbered?: boolean;
  /** Returns an invalid field, if any. */
  readonly fault?: (config: ConfigFields) => ConfigFault | undefined;
  /** Fields that have one known value each, or a list of them; a config.json with another is refused. */
  readonly only?: (config: ConfigFields) => ConfigFields;
}
