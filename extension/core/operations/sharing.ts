import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LocalEngine } from '../distribute/local-engine';
import type { Engine } from '../distribute/work-item';
import { parseQueueAddress } from '../distribute/queue/address';
import { connect } from '../distribute/queue/connection';
import type { QueueServer } from '../distribute/queue/connection';
import type * as Library from '../distribute/queue/library';
import { QueueEngine } from '../distribute/queue/queue-engine';
import { flag, group, integer, text } from './fields';
import type { Environment } from './operation';
import { excludes, needs } from './rules';
import { say } from '../message';

/** Server, for operations that require one. */
export const serverFields = {
  queue: text({
    description: 'Server of Redis or Valkey, as redis://HOST:PORT, or rediss:// with TLS',
    placeholder: 'URL',
    required: true,
    missing: say`Specify the server of the queue: --queue redis://HOST:PORT.`,
  }),
  allowOpen: flag({
    description: 'Allow a server without a password at a public address',
    default: false,
  }),
};

const workersFacts = {
  description: 'Worker processes',
  ...{ min: 1, setting: 'workers' },
};

/** Fields of operations that can use several workers. */
export const sharingFields = group('Running', {
  workers: integer({ ...workersFacts, default: 1 }),
  queue: text({
    description: 'Redis or Valkey server whose workers share the work',
    placeholder: 'URL',
    fallback: 'none',
    setting: 'queue',
  }),
  allowOpen: serverFields.allowOpen,
});

/** Like {@link sharingFields}, for operations that determine how many processes save time. */
export const payingSharingFields = {
  ...sharingFields,
  ...group('Running', {
    workers: integer({ ...workersFacts, fallback: 'the number that is fastest' }),
  }),
};
export const sharingNames = Object.keys(sharingFields);
export const sharingRules = [excludes('queue', 'workers'), needs('allowOpen', 'queue')];

/** Values of {@link sharingFields}. */
export interface SharingRequest {
  readonly workers?: number;
  readonly queue?: string;
  readonly allowOpen?: boolean;
}

/** Engine that runs the work items, or undefined to run them in this process. */
export function createEngine(
  { workers = 1, queue, allowOpen = false }: SharingRequest,
  environment: Pick<Environment, 'bundles' | 'version'>,
): Engine | undefined {
  if (queue !== undefined) {
    const open = async (): Promise<QueueServer> => openQueue({ queue, allowOpen }, environment);
    return new QueueEngine(open, environment.version);
  }
  return workers === 1 ? undefined : new LocalEngine(workItemsBundle(environment), workers);
}

/** Path of the bundle that runs work items. */
export const workItemsBundle = ({ bundles }: Pick<Environment, 'bundles'>): string =>
  join(bundles, 'pieces.js');

/** Connects to the server of a request. */
export async function openQueue(
  { queue, allowOpen }: { readonly queue: string; readonly allowOpen: boolean },
  { bundles }: Pick<Environment, 'bundles'>,
): Promise<QueueServer> {
  const address = parseQueueAddress(queue);
  const bundle = pathToFileURL(join(bundles, 'queue-library.js')).href;
  const library = (await import(bundle)) as typeof Library;
  return connect(library, address, { allowOpen });
}
