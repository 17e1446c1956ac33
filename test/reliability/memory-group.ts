import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

/** Interface of a version of Linux control groups. */
interface Version {
  readonly root: string;
  readonly limit: string;
}

const versions: readonly Version[] = [
  { root: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes' },
  { root: '/sys/fs/cgroup', limit: 'memory.max' },
];

/** End of a command that ran in a group. */
export interface GroupResult {
  readonly code: number | null;
  /** SIGKILL if the kernel ended it for its memory. */
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A Linux control group that limits memory. */
export class MemoryGroup {
  private constructor(
    private readonly version: Version,
    private readonly folder: string,
  ) {}

  /** Makes a group in `parent`, or at the top. @returns the reason if the machine doesn't let this process make one */
  public static make(parent?: MemoryGroup): MemoryGroup | string {
    const name = `espalier-test-${process.pid}-${Math.random().toString(36).slice(2)}`;
    const reasons: string[] = [];
    for (const version of parent === undefined ? versions : [parent.version]) {
      const folder = join(parent?.folder ?? version.root, name);
      try {
        mkdirSync(folder);
        if (existsSync(join(folder, version.limit))) {
          return new MemoryGroup(version, folder);
        }
        rmdirSync(folder);
        reasons.push(`${version.root} has no memory controller`);
      } catch (error) {
        reasons.push(String(error));
      }
    }
    return reasons.join('; ');
  }

  public limit(bytes: number): void {
    writeFileSync(join(this.folder, this.version.limit), String(bytes));
  }

  /** Starts Node in the group. */
  public start(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): ChildProcessWithoutNullStreams {
    const enter = `echo $$ > '${join(this.folder, 'cgroup.procs')}' && exec "$@"`;
    return spawn('/bin/sh', ['-c', enter, 'sh', process.execPath, ...args], {
      env: { ...process.env, ...environment },
    });
  }

  /** Runs Node in the group. */
  public async run(...given: Parameters<MemoryGroup['start']>): Promise<GroupResult> {
    const child = this.start(...given);
    child.stdin.end();
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        resolve({ code, signal, stdout, stderr });
      });
    });
  }

  /** Removes the group, in which nothing may run any more. */
  public remove(): void {
    rmdirSync(this.folder);
  }
}
