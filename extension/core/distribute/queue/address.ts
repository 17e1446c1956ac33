import { lookup } from 'node:dns/promises';
import { BlockList, isIPv6 } from 'node:net';
import process from 'node:process';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Environment variable with an address that contains a password, which would be visible on the command line. */
export const loginVariable = 'ESPALIER_QUEUE_LOGIN';

/** Address and credentials of a Redis or Valkey server. */
export interface QueueAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly database: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Address without the password, for display. */
  readonly shown: string;
}

const defaultPort = 6379;

/**
 * Parses a server address. If it has no password, uses the one from the environment, but only for the same server, so
 * that another server never receives it.
 * @throws UserError for an invalid address.
 */
export function parseQueueAddress(text: string): QueueAddress {
  const address = parse(text, 'queue');
  const login = process.env[loginVariable] ?? '';
  if (address.password !== undefined || login === '') {
    return address;
  }
  const own = parse(login, loginVariable);
  const isSame =
    (['host', 'port', 'tls'] as const).every((part) => address[part] === own[part]) &&
    (address.username ?? own.username) === own.username;
  return isSame ? { ...address, username: own.username, password: own.password } : address;
}

function parse(text: string, field: string): QueueAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isKnown = url !== undefined && ['redis:', 'rediss:'].includes(url.protocol);
  const database = Number(url?.pathname.slice(1) ?? '');
  if (!isKnown || url.hostname === '' || !Number.isInteger(database)) {
    throw new UserError('queue-address-invalid', say`This isn't the address of a queue.`, {
      field,
      remedy: say`Write redis://HOST:PORT, or rediss://USER:PASSWORD@HOST:PORT with TLS.`,
    });
  }
  const { hostname, port, protocol, username, password } = url;
  const user = username === '' ? '' : `${username}@`;
  return {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? defaultPort : Number(port),
    tls: protocol === 'rediss:',
    database,
    username: username === '' ? undefined : decoded(username),
    password: password === '' ? undefined : decoded(password),
    shown: `${protocol}//${user}${url.host}${url.pathname}`,
  };
}

/** Decodes a part of an address, in which % may also be literal. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Removes the password from a valid or invalid address, for log files. */
export const withoutPassword = (address: string): string =>
  address.replace(/(:\/\/[^:@/]*):.*@/, '$1@');

/** Addresses that can't be reached from the internet: this machine, private and link-local networks. */
const inside = new BlockList();
for (const [network, prefix] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  inside.addSubnet(network, prefix, 'ipv4');
}
inside.addAddress('::1', 'ipv6');
inside.addSubnet('fc00::', 7, 'ipv6');
inside.addSubnet('fe80::', 10, 'ipv6');

/** True if an address can be reached from the internet. */
export const isPublic = (address: string): boolean =>
  !inside.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');

/** True if any address of a server can be reached from the internet. */
export async function isPublicHost(host: string): Promise<boolean> {
  const addresses = await lookup(host, { all: true }).catch(() => []);
  return addresses.some(({ address }) => isPublic(address));
}
