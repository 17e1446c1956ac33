import { join } from 'node:path';
import { LocalEngine } from '../distribute/local-engine';
import type { Engine } from '../distribute/piece';
import { integer } from './fields';
import type { Environment } from './operation';

/** For operations whose work can be shared out. */
export const workersField = {
  ...integer({ description: 'Processes that share the work', default: 1, min: 1 }),
  group: 'Running',
};

/** Whom the work of a request is shared with; undefined where this process does all. */
export function engineOf(
  { workers = 1 }: { readonly workers?: number },
  { bundles }: Pick<Environment, 'bundles'>,
): Engine | undefined {
  return workers === 1 ? undefined : new LocalEngine(join(bundles, 'pieces.js'), workers);
}
