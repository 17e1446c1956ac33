import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIP } from 'node:net';
import { pathToFileURL } from 'node:url';
import { basename, join } from 'node:path';

/** An end of a socket, and the process that has it. */
export interface Connection {
  /** A name or an address. */
  readonly host: string;
  /** Name of the process's script or program. */
  readonly by: string;
}

/** Node's own modules tell of what is shorter. */
const sampleMilliseconds = 2000;

/**
 * Hosts that the processes below one talk to, or can be reached from: told by Node's own modules, which misses nothing
 * that is short, and sampled from /proc, which sees native code as well, on Linux.
 */
export class ConnectionRecorder {
  /** Names of scripts whose processes tell what they talk to. */
  public readonly watched = new Set<string>();

  readonly #seen = new Map<string, Connection>();
  readonly #timer: NodeJS.Timeout;

  /** @param file that the processes write to, see {@link start} */
  public constructor(
    private readonly root: number,
    private readonly file: string,
  ) {
    this.#timer = setInterval(() => this.sample(), sampleMilliseconds);
  }

  /**
   * Node arguments and environment for the process at the root.
   * @param preloads paths of further modules to load into it and the processes that it starts
   */
  public static start(
    file: string,
    preloads: readonly string[] = [],
  ): {
    readonly nodeArguments: readonly string[];
    readonly environment: Record<string, string>;
  } {
    const recorder = join(import.meta.dirname, 'tell-connections.mjs');
    const imports = [recorder, ...preloads].map((path) => `--import=${pathToFileURL(path).href}`);
    return {
      nodeArguments: imports,
      environment: { ESPALIER_CONNECTIONS: file, ESPALIER_IMPORTS: imports.join(' ') },
    };
  }

  /** Ends the recording. @returns what was seen, each host once for a program */
  public stop(): readonly Connection[] {
    clearInterval(this.#timer);
    return this.sample();
  }

  /** Looks now. @returns what was seen until now */
  public sample(): readonly Connection[] {
    const hosts = socketHosts();
    for (const pid of hosts.size === 0 ? [] : treeBelow(this.root)) {
      for (const host of findHosts(pid, hosts)) {
        this.#add({ host, by: readProgram(pid) });
      }
    }
    for (const line of readLines(this.file)) {
      const { host, by } = JSON.parse(line) as Partial<Connection> & Pick<Connection, 'by'>;
      this.watched.add(by);
      if (host !== undefined) this.#add({ host, by });
    }
    return [...this.#seen.values()];
  }

  #add(connection: Connection): void {
    this.#seen.set(`${connection.host} ${connection.by}`, connection);
  }
}

/** True for loopback hosts, which other machines can't reach. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const plain = host.replace(/^::ffff:/, '');
  return isIP(plain) === 4 ? plain.startsWith('127.') : plain === '::1';
}

/** Ends of the sockets in a table of /proc/net, by inode: the other one, or the own one of a socket that listens. */
export function parseSockets(table: string): ReadonlyMap<string, string> {
  const rows = table.split('\n').slice(1);
  return new Map(
    rows.flatMap((row): [string, string][] => {
      const [, local = '', remote = '', state, , , , , , inode] = row.trim().split(/\s+/);
      if (inode === undefined) return [];
      const other = parseHost(remote);
      const isOpen = state === '0A' || /^[0:.]+$/.test(other);
      return [[inode, isOpen ? parseHost(local) : other]];
    }),
  );
}

/** `0100007F:1F90` is 127.0.0.1; byte order is reversed in groups of four. */
function parseHost(end: string): string {
  const bytes = Buffer.from(end.split(':')[0] ?? '', 'hex');
  const swapped = Array.from(bytes, (_, i) => bytes[(i & ~3) + 3 - (i & 3)] ?? 0);
  const isMapped = swapped.slice(0, 10).every((byte) => byte === 0) && swapped[10] === 255;
  if (swapped.length === 4 || isMapped) return swapped.slice(-4).join('.');
  const isSelf = swapped.every((byte, i) => byte === (i === 15 ? 1 : 0));
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((swapped[2 * i] ?? 0) << 8) | (swapped[2 * i + 1] ?? 0)).toString(16),
  );
  return isSelf ? '::1' : groups.join(':');
}

function socketHosts(): ReadonlyMap<string, string> {
  const tables = ['tcp', 'tcp6', 'udp', 'udp6'].map((name) => readText(`/proc/net/${name}`));
  return new Map(tables.flatMap((table) => [...parseSockets(table)]));
}

/** A process and all that it and its children have started. */
function treeBelow(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of entries('/proc').filter((one) => /^\d+$/.test(one))) {
    const [, parent] = /^\d+ \(.*\) \S (\d+)/s.exec(readText(`/proc/${name}/stat`)) ?? [];
    children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(name)]);
  }
  const below = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(below)];
  return below(root);
}

function findHosts(pid: number, hosts: ReadonlyMap<string, string>): string[] {
  return entries(`/proc/${pid}/fd`).flatMap((name) => {
    const [, inode = ''] = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${name}`)) ?? [];
    return hosts.get(inode) ?? [];
  });
}

function readProgram(pid: number): string {
  const words = readText(`/proc/${pid}/cmdline`).split('\0');
  const script = words.find((word) => /^(?!file:).*\.[cm]?js$/.test(word));
  return basename(script ?? words[0] ?? '');
}

/** Whole lines: a process may be writing the last one. */
const readLines = (file: string): string[] => readText(file).split('\n').slice(0, -1);
const readText = (file: string): string => orNothing(() => readFileSync(file, 'utf8'), '');
const readLink = (file: string): string => orNothing(() => readlinkSync(file), '');
const entries = (folder: string): string[] => orNothing(() => readdirSync(folder), []);

/** Processes end while they are looked at, and other systems have no /proc. */
function orNothing<T>(read: () => T, nothing: T): T {
  try {
    return read();
  } catch {
    return nothing;
  }
}
