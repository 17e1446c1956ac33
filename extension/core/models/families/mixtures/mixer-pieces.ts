import type { ExpertNames, PartKind } from '../../transformer/architecture';
import type { ConfigFields, ModelConfig } from '../../transformer/model-config';

/** A word of config.json that few families have, or what their configuration class takes. */
export function wordIn(config: ConfigFields, field: string, usual: string): string {
  const value = config[field];
  return typeof value === 'string' ? value : usual;
}

/** Names of `layer_types` for blocks with a mixer; `mamba` before transformers 5. */
const mixed: ReadonlySet<unknown> = new Set(['linear_attention', 'conv', 'mamba']);

/** A mixer where `layer_types` says so, else attention; then experts or a feed-forward. */
export const mixedByType =
  (experts?: Pick<ExpertNames, 'isSparse'>) =>
  (config: ModelConfig, block: number): readonly PartKind[] => [
    mixed.has(config.layer_types?.[block]) ? 'mixer' : 'attention',
    experts?.isSparse(config, block) === true ? 'expert' : 'feedforward',
  ];

/** The numbers of a list that stay, as numbers in the new order. */
export function renumberedList(value: unknown, blocks: readonly number[]): number[] {
  const listed: readonly unknown[] = Array.isArray(value) ? value : [];
  return blocks.flatMap((source, block) => (listed.includes(source) ? [block] : []));
}

/** Selects blocks i with i mod period = offset, as in config.json. */
export interface Period {
  readonly period: number;
  readonly offset: number;
}

/** The period and offset, near those given, that say which blocks of a list are meant. */
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
