import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import packageJson from '../../../package.json';
import { runCommandLine } from '../../../extension/cli/command-line';
import { Terminal } from '../../../extension/cli/terminal';

const bundle = join(import.meta.dirname, '../../../dist/cli.js');
const waitForSignal = pathToFileURL(join(import.meta.dirname, 'wait-for-signal.mjs')).href;

/** Result of a command line, without the line that estimates its time: a busy machine prints it for short jobs too. */
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
  return { code, stdout: out.text(), stderr: withoutEstimate(err.text()) };
}

const withoutEstimate = (text: string): string =>
  text.replaceAll(/^This takes about .* on this machine\.\n/gm, '');

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

/** Options of {@link spawnCli}. */
interface SpawnOptions {
  /** Gets the process, to signal it. */
  readonly onStart?: (child: ChildProcess) => void;
  /** Arguments of Node itself. */
  readonly nodeArguments?: readonly string[];
  /** Environment variables added to those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs the built command line in a process of its own. */
export async function spawnCli(
  args: readonly string[],
  { onStart, nodeArguments = [], environment = {} }: SpawnOptions = {},
): Promise<CliResult> {
  if (!existsSync(bundle)) {
    throw new Error('The command line is not built: run node scripts/build.mjs first.');
  }
  const child = spawn(process.execPath, [...nodeArguments, bundle, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  onStart?.(child);
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
  return { ...end, stdout, stderr: withoutEstimate(stderr) };
}

/**
 * Runs the built command line in a process of its own, and sends it a signal once a file has `lines` complete lines.
 * The process waits for the signal there.
 */
export async function interruptCli(
  args: readonly string[],
  { signal, file, lines }: { signal: NodeJS.Signals; file: string; lines: number },
): Promise<CliResult> {
  return spawnCli(args, {
    nodeArguments: ['--import', waitForSignal],
    environment: { ESPALIER_WAIT_FOR_SIGNAL: JSON.stringify({ file, lines }) },
    onStart: (child) => {
      const timer = setInterval(() => {
        const text = existsSync(file) ? readFileSync(file, 'latin1') : undefined;
        if (text === undefined || text.split('\n').length <= lines) return;
        clearInterval(timer);
        child.kill(signal);
      }, 5);
      child.once('exit', () => {
        clearInterval(timer);
      });
    },
  });
}
