import { lookup } from 'node:dns/promises';
import { BlockList, isIPv6 } from 'node:net';
import process from 'node:process';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Holds an address with its password, which then stands in no list of processes. */
export const loginVariable = 'ESPALIER_QUEUE_LOGIN';

/** Where a server of Redis or Valkey is, and who asks. */
export interface QueueAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly database: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** For people: without the password. */
  readonly shown: string;
}

const defaultPort = 6379;

/**
 * The server of an address. One without a password gets that of the environment, if it stands there for the same
 * server: whoever names another one never sees it.
 * @throws UserError for what is no address.
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
    throw new UserError(say`This isn't the address of a queue.`, {
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

/** Part of an address, whose % may stand for itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** An address as it may be written to a file, whether it is one or not. */
export const withoutPassword = (address: string): string =>
  address.replace(/(:\/\/[^:@/]*):.*@/, '$1@');

/** Addresses that nobody outside reaches: this machine, private and link-local networks. */
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

/** Whether an address can be reached from anywhere. */
export const isPublic = (address: string): boolean =>
  !inside.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');

/** Whether a server can be reached from anywhere, by one of its addresses. */
export async function isPublicHost(host: string): Promise<boolean> {
  const addresses = await lookup(host, { all: true }).catch(() => []);
  return addresses.some(({ address }) => isPublic(address));
}
