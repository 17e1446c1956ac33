import { spawn } from 'node:child_process';
import { accessSync, constants as fileConstants } from 'node:fs';
import { createServer } from 'node:net';
import { constants, setPriority } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/**
 * Runs a program to its end, its output shown as it comes.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv, quiet?: boolean}} [options] quiet: show the output only when it fails
 */
export async function run(file, args, options = {}) {
  const { code, output } = await capture(file, args, options);
  if (code !== 0) {
    if (options.quiet) process.stdout.write(output);
    throw new Error(`${[file, ...args].join(' ')} ended with ${code}`);
  }
}

/**
 * Runs a program to its end and returns its exit code and output, stderr included.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv, quiet?: boolean, background?: boolean}} [options]
 *   background: let other programs go first
 * @returns {Promise<{code: number | string, output: string}>}
 */
export async function capture(file, args, options = {}) {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32' && file.endsWith('.cmd'),
  });
  if (options.background && child.pid !== undefined) {
    setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
  }
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      output += text;
      if (!options.quiet) process.stdout.write(text);
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ code: code ?? signal ?? 'no exit code', output });
    });
  });
}

const KEEPER = fileURLToPath(new URL('keeper.mjs', import.meta.url));

/**
 * Starts a server that runs until `stop`, or until this process ends for any reason.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
export function startServer(file, args, env) {
  return spawn(process.execPath, [KEEPER, file, ...args], {
    env,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    detached: true,
  });
}

/**
 * Ends this process cleanly on a signal, when its terminal is closed, and when its parent has
 * ended.
 */
export function endWithParent() {
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  process.once('SIGHUP', () => process.exit(129));
  // npm passes on only two signals, and none when it is killed.
  if (process.env['npm_lifecycle_event'] === undefined) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(129);
  }, 1000).unref();
}

/**
 * Ends a server and everything it started.
 * @param {import('node:child_process').ChildProcess} server
 */
export async function stop(server) {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const closed = new Promise((resolve) => server.once('exit', resolve));
  server.disconnect();
  await closed;
}

/** True if a window can be opened. */
export function hasDisplay() {
  if (process.platform !== 'linux') return true;
  return Boolean(process.env['DISPLAY'] || process.env['WAYLAND_DISPLAY']);
}

/**
 * The first of these programs that PATH has.
 * @param {readonly string[]} names
 * @returns {string | undefined}
 */
export function findProgram(names) {
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd'] : [''];
  for (const name of names) {
    for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
      for (const suffix of suffixes) {
        const file = join(folder, name + suffix);
        if (folder !== '' && isExecutable(file)) return file;
      }
    }
  }
  return undefined;
}

/** @param {string} file */
export function isExecutable(file) {
  try {
    accessSync(file, fileConstants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * A free port of the loopback address.
 * @returns {Promise<number>}
 */
export async function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('no free port on 127.0.0.1'));
      });
    });
  });
}

/**
 * Waits until a server answers, or its process ends.
 * @param {string} url
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} [timeoutMilliseconds]
 */
export async function waitForServer(url, child, timeoutMilliseconds = 60_000) {
  const end = Date.now() + timeoutMilliseconds;
  while (Date.now() < end) {
    const ended = child.exitCode ?? child.signalCode;
    if (ended !== null) throw new Error(`the server of ${url} ended (${ended})`);
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
      await response.arrayBuffer();
      if (response.status < 500) return;
    } catch {
      // not listening yet
    }
    await sleep(100);
  }
  throw new Error(`no answer from ${url} within ${timeoutMilliseconds / 1000} s`);
}
