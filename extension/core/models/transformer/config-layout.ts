import type { Message } from '../../message';

/** Fields of a config.json by name. */
export type ConfigFields = Readonly<Record<string, unknown>>;

/** Fields that stand outside whatever `nested` names. */
export const outsideNested: readonly string[] = [
  'model_type',
  'architectures',
  'auto_map',
  'quantization_config',
  'espalier',
];

/** The fields with those of `nested` in the place of others of their names. */
export function flattened(config: ConfigFields, nested: string | undefined): ConfigFields {
  const inner = nested === undefined ? undefined : config[nested];
  if (typeof inner !== 'object' || inner === null) {
    return config;
  }
  const kept = outsideNested.map((field) => [field, config[field]] as const);
  return {
    ...config,
    ...inner,
    ...Object.fromEntries(kept.filter(([, value]) => value !== undefined)),
    // A head that is not stored is tied, whichever part says so.
    ...(config['tie_word_embeddings'] === true ? { tie_word_embeddings: true } : {}),
  };
}

/** What is wrong with a field, and what can be done. */
export interface ConfigFault {
  readonly field: string;
  readonly problem: Message;
  readonly remedy: Message;
}

/** How a family's config.json differs from the usual one. */
export interface ConfigLayout {
  /** Field that holds all others, but for `model_type` and what Espalier or a quantization adds. */
  readonly nested?: string;
  /** The family's own names of the usual fields. */
  readonly names?: Readonly<Record<string, string>>;
  /** Values that the family's configuration class takes where config.json is silent. */
  readonly defaults?: (config: ConfigFields) => ConfigFields;
  /** Lists with an entry per block where config.json is silent. */
  readonly lists?: Readonly<Record<string, (config: ConfigFields, block: number) => unknown>>;
  /** Lists with an entry per block that are not named after layers. */
  readonly perBlock?: readonly string[];
  /** Fields that change with the number of blocks. */
  readonly byBlockCount?: (config: ConfigFields, blocks: number) => ConfigFields;
  /** Fields that follow from others, whatever the file says of them. */
  readonly computed?: (config: ConfigFields) => ConfigFields;
  /** What a value stands for where it is not what it says, by field. */
  readonly meant?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /**
   * Fields that speak of blocks by their numbers, for the blocks that stay; undefined where they cannot say
   * which.
   */
  readonly pruned?: (config: ConfigFields, blocks: readonly number[]) => ConfigFields | undefined;
  /** Why they can't, as a sentence, where they name kinds of blocks by more than periods. */
  readonly whyNotPruned?: Message;
  /** Whether no field counts all blocks: `pruned` says how many are left. */
  readonly isUnnumbered?: boolean;
  /** The field with a value that has no meaning, where there is one. */
  readonly fault?: (config: ConfigFields) => ConfigFault | undefined;
  /** Fields that have one known value each, or a list of them; a config.json with another is refused. */
  readonly only?: (config: ConfigFields) => ConfigFields;
}
