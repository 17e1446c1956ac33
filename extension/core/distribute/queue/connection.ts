import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { UserError } from '../../user-error';
import { isPublicHost, loginVariable } from './address';
import type { QueueAddress } from './address';
import type * as Library from './library';
import { say } from '../../message';

/** How long the first connection may take. */
const connectMilliseconds = 5000;
/** How long it waits before it asks a server again that reads its data. */
const loadingMilliseconds = 100;
/** Longest that it waits between tries to connect again. */
const mostWaitMilliseconds = 2000;

/** A server that answers, and what talks to it. */
export interface QueueServer {
  readonly redis: Redis;
  readonly library: typeof Library;
}

/** What a connection is for. */
export interface ConnectionOptions {
  /** Whether a server that asks for no password may be at an address that anyone can reach. */
  readonly allowOpen: boolean;
}

/**
 * Connects to a server. Later it connects again by itself, as often as it takes.
 * @throws UserError where there is none, it refuses, or it is open to everyone.
 */
export async function connect(
  library: typeof Library,
  address: QueueAddress,
  options: ConnectionOptions,
): Promise<QueueServer> {
  if (
    !options.allowOpen &&
    (await isPublicHost(address.host)) &&
    (await isOpen(library, address))
  ) {
    throw new UserError(
      say`${address.shown} is open: anyone who reaches this address can read and write it.`,
      {
        field: 'queue',
        remedy: say`Set a password on the server, or a firewall before it and --allow-open here.`,
      },
    );
  }
  const redis = open(library, address, true);
  const failure = await check(redis);
  if (failure !== undefined) {
    redis.disconnect();
    throw explain(address, failure);
  }
  return { redis, library };
}

function open(library: typeof Library, address: QueueAddress, signsIn: boolean): Redis {
  const { host, port, tls, database, username, password } = address;
  let wasReady = false;
  const redis = new library.Redis({
    ...{ host, port, db: signsIn ? database : 0, lazyConnect: true },
    // A server that is named by its number has no name to be told.
    ...(tls ? { tls: isIP(host) === 0 ? { servername: host } : {} } : {}),
    ...(signsIn && username !== undefined ? { username } : {}),
    ...(signsIn && password !== undefined ? { password } : {}),
    connectTimeout: connectMilliseconds,
    enableReadyCheck: false,
    // Queues wait for as long as the server is away.
    maxRetriesPerRequest: null,
    retryStrategy: (times) => (wasReady ? Math.min(100 * times, mostWaitMilliseconds) : null),
  });
  redis.once('ready', () => {
    wasReady = true;
  });
  return redis;
}

/** What is wrong with a connection; undefined where it answers. */
async function check(redis: Redis): Promise<string | undefined> {
  let told: string | undefined;
  redis.on('error', (error: Error) => {
    told ??= error.message;
  });
  try {
    await redis.connect();
    await ping(redis);
    return undefined;
  } catch (error) {
    const own = error instanceof Error ? error.message : String(error);
    return told ?? own;
  }
}

/** A server that has just started reads its data first. */
async function ping(redis: Redis): Promise<void> {
  for (let waited = 0; ; waited += loadingMilliseconds) {
    try {
      await redis.ping();
      return;
    } catch (error) {
      const isLoading = error instanceof Error && error.message.startsWith('LOADING');
      if (!isLoading || waited >= connectMilliseconds) throw error;
      await sleep(loadingMilliseconds);
    }
  }
}

/** Whether a server answers who gives no password. */
async function isOpen(library: typeof Library, address: QueueAddress): Promise<boolean> {
  const redis = open(library, address, false);
  const failure = await check(redis);
  redis.disconnect();
  return failure === undefined;
}

function explain({ shown, tls }: QueueAddress, failure: string): UserError {
  if (/^(?:WRONGPASS|NOAUTH|ERR AUTH|NOPERM)/.test(failure)) {
    return new UserError(say`${shown} refuses the user or the password: ${failure}`, {
      field: 'queue',
      remedy: say`Write them in the address, or set ${loginVariable} to the address with both.`,
    });
  }
  return new UserError(say`${shown} cannot be reached: ${failure}`, {
    field: 'queue',
    remedy: tls
      ? say`Start the server, and check host, port and certificate.`
      : say`Start the server, and check host and port. Write rediss:// where it takes TLS only.`,
  });
}
