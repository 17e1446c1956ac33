import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { UserError } from '../../user-error';
import { isPublicHost, loginVariable } from './address';
import type { QueueAddress } from './address';
import type * as Library from './library';
import { say } from '../../message';

/** Time limit of the first connection in milliseconds. */
const connectMilliseconds = 5000;
/** Time between checks of a server that is loading its data, in milliseconds. */
const loadingMilliseconds = 100;
/** Maximum time between reconnection attempts in milliseconds. */
const maxWaitMilliseconds = 2000;

/** Connected server with its client. */
export interface QueueServer {
  readonly redis: Redis;
  readonly library: typeof Library;
}

/** Options of a connection. */
export interface ConnectionOptions {
  /** True if a publicly reachable server may have no password. */
  readonly allowOpen: boolean;
}

/**
 * Connects to a server. The connection is restored automatically later.
 * @throws UserError if the server can't be reached, refuses the connection, or is open to everyone.
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
      'queue-unprotected',
      say`${address.shown} is open: anyone who can reach this address can read and write it.`,
      {
        field: 'queue',
        remedy: say`Set a password on the server, or put it behind a firewall and use --allow-open here.`,
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
    // TLS server names must not be IP addresses.
    ...(tls ? { tls: isIP(host) === 0 ? { servername: host } : {} } : {}),
    ...(signsIn && username !== undefined ? { username } : {}),
    ...(signsIn && password !== undefined ? { password } : {}),
    connectTimeout: connectMilliseconds,
    enableReadyCheck: false,
    // Requests wait while the server is unreachable.
    maxRetriesPerRequest: null,
    retryStrategy: (times) => (wasReady ? Math.min(100 * times, maxWaitMilliseconds) : null),
  });
  redis.once('ready', () => {
    wasReady = true;
  });
  return redis;
}

/** Error message of a connection; undefined if the server responds. */
async function check(redis: Redis): Promise<string | undefined> {
  let lastError: string | undefined;
  redis.on('error', (error: Error) => {
    lastError ??= error.message;
  });
  try {
    await redis.connect();
    await ping(redis);
    return undefined;
  } catch (error) {
    const own = error instanceof Error ? error.message : String(error);
    return lastError ?? own;
  }
}

/** Waits for a server that has just started and is loading its data. */
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

/** True if the server responds without a password. */
async function isOpen(library: typeof Library, address: QueueAddress): Promise<boolean> {
  const redis = open(library, address, false);
  const failure = await check(redis);
  redis.disconnect();
  return failure === undefined;
}

function explain({ shown, tls }: QueueAddress, failure: string): UserError {
  if (/^(?:WRONGPASS|NOAUTH|ERR AUTH|NOPERM)/.test(failure)) {
    return new UserError(
      'queue-login-rejected',
      say`${shown} rejected the user or the password: ${failure}`,
      {
        field: 'queue',
        remedy: say`Write them in the address, or set ${loginVariable} to the address with both.`,
      },
    );
  }
  return new UserError('queue-unreachable', say`${shown} cannot be reached: ${failure}`, {
    field: 'queue',
    remedy: tls
      ? say`Start the server, and check host, port and certificate.`
      : say`Start the server, and check host and port. Use rediss:// if it accepts only TLS.`,
  });
}
