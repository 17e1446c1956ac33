import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import packageJson from '../../../package.json';
import { runCommandLine } from '../../../extension/cli/command-line';
import { Terminal } from '../../../extension/cli/terminal';

const bundle = join(import.meta.dirname, '../../../dist/cli.js');

export interface CliResult {
  readonly code: number | null;
  /** The signal that has ended the process. */
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in this process, a quarter of a second faster than one of its own. */
export async function runCli(args: readonly string[]): Promise<Omit<CliResult, 'signal'>> {
  const [out, err] = [captured(), captured()];
  const code = await runCommandLine(args, {
    terminal: new Terminal(out, err),
    cancellation: { isCancellationRequested: false },
    version: packageJson.version,
    dist: dirname(bundle),
  });
  if (code === 'stopped') throw new Error('nobody stopped it');
  return { code, stdout: out.text(), stderr: err.text() };
}

/** A pipe that keeps what is written to it. */
function captured(): ConstructorParameters<typeof Terminal>[0] & { text: () => string } {
  let all = '';
  return {
    isTTY: false,
    columns: 0,
    write: (text: string | Uint8Array) => {
      all += String(text);
      return true;
    },
    text: () => all,
  };
}

/** Runs the built command line in a process of its own; `onStart` gets the process, to signal it. */
export async function spawnCli(
  args: readonly string[],
  options: {
    readonly onStart?: (child: ChildProcess) => void;
  } = {},
): Promise<CliResult> {
  if (!existsSync(bundle)) {
    throw new Error('The command line is not built: run node scripts/build.mjs first.');
  }
  const child = spawn(process.execPath, [bundle, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  options.onStart?.(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const end = await new Promise<Pick<CliResult, 'code' | 'signal'>>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ code, signal });
    });
  });
  return { ...end, stdout, stderr };
}
