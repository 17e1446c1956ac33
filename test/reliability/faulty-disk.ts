import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';

/** A call that writes, as counted. */
export interface Call {
  /** Such as `rename`, or `write` of an open file. */
  readonly name: string;
  readonly path: string;
  /** Call stack. */
  readonly site: string;
}

/** Kind of failure. */
export interface Fault {
  /** Index of the counted call, or the first at a place. */
  readonly at: number | Omit<Call, 'path'>;
  /** `killed`: this call is half done, and nothing reaches the disk after it. `deleted`: the folders are deleted before it. */
  readonly code: 'ENOSPC' | 'EACCES' | 'EIO' | 'EMFILE' | 'killed' | 'deleted';
}

const writing = [
  ...['appendFile', 'copyFile', 'cp', 'link', 'mkdir', 'mkdtemp', 'rename', 'rm', 'rmdir'],
  ...['symlink', 'truncate', 'unlink', 'writeFile'],
] as const;
const writingToHandle = [
  ...['appendFile', 'datasync', 'sync', 'truncate', 'write', 'writeFile', 'writev'],
] as const;

/** Methods of `node:fs/promises`, of a file that is open, or of `node:fs`. */
type Methods = Record<string, ((...args: unknown[]) => unknown) | undefined>;

/** Error that nobody receives, since the process has ended. */
export class KilledError extends Error {}

/**
 * Counts the calls that write below some folders, and lets one of them fail, until `restore`. Reaches modules however
 * they have imported `node:fs/promises` and `node:fs`. Other processes are not reached.
 */
export class FaultyDisk {
  public readonly calls: Call[] = [];
  /** The one that failed. */
  public failed: Call | undefined;
  readonly #undo: (() => void)[] = [];
  #isKilled = false;

  public constructor(
    private readonly folders: readonly string[],
    private readonly fault?: Fault,
    /** Looks on before each call, by its number. */
    private readonly before?: (number: number) => void,
  ) {
    const promises = fs.promises as unknown as Methods;
    for (const name of writing) {
      this.#patch(promises, name, (path) => path);
    }
    this.#replace(promises, 'open', (original) => async (...args) => {
      const path = String(args[0]);
      const writes = this.#isWatched(path) && args[1] !== undefined && args[1] !== 'r';
      const halt = writes ? this.#count('open', path) : undefined;
      if (halt !== undefined) throw halt;
      const handle = (await original(...args)) as Methods;
      for (const name of writes ? writingToHandle : []) {
        this.#patch(handle, name, () => path);
      }
      return handle;
    });
    // Used by streams.
    for (const name of ['write', 'writev'] as const) {
      this.#replaceStream(name);
    }
    syncBuiltinESMExports();
  }

  public restore(): void {
    for (const undo of this.#undo.splice(0)) undo();
    syncBuiltinESMExports();
  }

  /** Lets a method that returns a promise fail where it is its turn. */
  #patch(target: Methods, name: string, pathOf: (path: unknown) => unknown): void {
    this.#replace(target, name, (original) => async (...args) => {
      const path = String(pathOf(args[0]));
      const halt = this.#isWatched(path) ? this.#count(name, path) : undefined;
      if (halt instanceof KilledError && !this.#isKilled) {
        this.#isKilled = true;
        await half(name, original, args);
      }
      if (halt !== undefined) throw halt;
      return original(...args);
    });
  }

  #replaceStream(name: 'write' | 'writev'): void {
    const target = fs as unknown as Methods;
    this.#replace(target, name, (original) => (...args) => {
      const path = this.#pathOf(args[0] as number);
      const halt = this.#isWatched(path) ? this.#count(name, path) : undefined;
      if (halt === undefined) return original(...args);
      this.#isKilled ||= halt instanceof KilledError;
      const done = args.at(-1) as (error: Error) => void;
      process.nextTick(() => {
        done(halt);
      });
      return undefined;
    });
  }

  #pathOf(descriptor: number): string {
    try {
      return fs.readlinkSync(`/proc/self/fd/${descriptor}`);
    } catch {
      return '';
    }
  }

  #replace(
    target: Methods,
    name: string,
    make: (original: (...args: unknown[]) => unknown) => (...args: unknown[]) => unknown,
  ): void {
    const own = Object.getOwnPropertyDescriptor(target, name);
    const original = target[name]?.bind(target);
    if (original === undefined) throw new RangeError(`there is no ${name}`);
    target[name] = make(original);
    this.#undo.push(() => {
      if (own === undefined) Reflect.deleteProperty(target, name);
      else Object.defineProperty(target, name, own);
    });
  }

  #isWatched(path: string): boolean {
    return this.folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
  }

  /** Counts a call. @returns what it fails with, if it does */
  #count(name: string, path: string): Error | undefined {
    const call = { name, path, site: callSite(new Error(name)) };
    const number = this.calls.push(call) - 1;
    this.before?.(number);
    if (this.#isKilled) return new KilledError('the process is gone');
    if (this.fault === undefined || !this.#isTurnOf(call, number, this.fault)) return undefined;
    this.failed = call;
    const { code } = this.fault;
    if (code === 'killed') return new KilledError('the process is gone');
    if (code === 'deleted') {
      for (const folder of this.folders) fs.rmSync(folder, { recursive: true });
      return undefined;
    }
    return Object.assign(new Error(`${code}: it failed on purpose, ${name} '${path}'`), {
      ...{ code, syscall: name, path },
    });
  }

  #isTurnOf({ name, site }: Call, number: number, { at }: Fault): boolean {
    if (typeof at === 'number') return number === at;
    return this.failed === undefined && name === at.name && site === at.site;
  }
}

/** The calls that led to it, without those of this file. */
const callSite = ({ stack = '' }: Error): string =>
  stack
    .split('\n')
    .slice(1)
    .filter((line) => !/FaultyDisk|faulty-disk/.test(line))
    .join('\n');

/** Does half of what a call writes. */
async function half(
  name: string,
  original: (...args: unknown[]) => unknown,
  args: readonly unknown[],
): Promise<void> {
  const at = name === 'write' ? 0 : 1;
  const data = args[at];
  if (/^(write|append)/.test(name) && (typeof data === 'string' || data instanceof Uint8Array)) {
    await original(...args.slice(0, at), data.slice(0, data.length >> 1));
  }
}

/** A call in words that are the same in every run. */
export const describe = ({ name, path }: Omit<Call, 'site'>): string => `${name} ${basename(path)}`;
