import type { ExpertNames, PartKind } from '../../transformer/architecture';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';

/** String field of config.json that few families have, or the default of their configuration class. */
export function optionalString(config: ConfigFields, field: string, usual: string): string {
  const value = config[field];
  return typeof value === 'string' ? value : usual;
}

/** Names of `layer_types` for blocks with a mixer; `mamba` before transformers 5. */
const mixed: ReadonlySet<unknown> = new Set(['linear_attention', 'conv', 'mamba']);

/** SSM or linear-attention layer for blocks with that type in `layer_types`, else attention; then experts or an MLP. */
export const mixedByType =
  (experts?: Pick<ExpertNames, 'isSparse'>) =>
  (config: ModelConfig, block: number): readonly PartKind[] => [
    mixed.has(config.layer_types?.[block]) ? 'mixer' : 'attention',
    experts?.isSparse(config, block) === true ? 'expert' : 'feedforward',
  ];

/** List of block numbers, without removed blocks and in the new numbering. */
export function renumberedList(value: unknown, blocks: readonly number[]): number[] {
  const listed: readonly unknown[] = Array.isArray(value) ? value : [];
  return blocks.flatMap((source, block) => (listed.includes(source) ? [block] : []));
}

/** Selects blocks i with i mod period = offset, as in config.json. */
export interface Period {
  readonly period: number;
  readonly offset: number;
}

/** Period and offset that describe which blocks of a list are set, close to the given ones. */
export function findPeriod(meant: readonly boolean[], given: Period): Period | undefined {
  const fits = ({ period, offset }: Period): boolean =>
    meant.every((is, block) => is === (block % period === offset));
  if (fits(given)) {
    return given;
  }
  const periods = Array.from({ length: meant.length + 1 }, (_, i) => i + 1);
  return periods
    .flatMap((period) => Array.from({ length: period }, (_, offset) => ({ period, offset })))
    .find(fits);
}
