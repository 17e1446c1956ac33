import type { ConfigFields } from '../transformer/config-layout';

/** A number of config.json that few families have, or what their configuration class takes. */
export function numberIn(config: ConfigFields, field: string, usual: number): number {
  const value = config[field];
  return typeof value === 'number' ? value : usual;
}
