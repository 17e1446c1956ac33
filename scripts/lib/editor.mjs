import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { ensureCodeServer } from './code-server.mjs';
import { freePort, run, startServer, stop, waitForServer } from './processes.mjs';

/** Settings under which the editor shows the work and nothing else. */
const QUIET_SETTINGS = {
  'chat.disableAIFeatures': true,
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'git.openRepositoryInParentFolders': 'never',
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.welcomePage.walkthroughs.openOnInstall': false,
};

/**
 * Writes the user settings, which code-server reads when it starts.
 * @param {string} data the editor's data folder
 * @param {Record<string, unknown>} [settings] added to the quiet ones
 */
export async function writeSettings(data, settings = {}) {
  await mkdir(join(data, 'user', 'User'), { recursive: true });
  const all = { ...QUIET_SETTINGS, ...settings };
  await writeFile(join(data, 'user', 'User', 'settings.json'), JSON.stringify(all, null, 2));
}

/**
 * @param {string} data
 * @param {string} [extensions]
 */
const folders = (data, extensions = join(data, 'extensions')) => [
  ...['--server-data-dir', join(data, 'server')],
  ...['--user-data-dir', join(data, 'user')],
  ...['--extensions-dir', extensions],
  ...['--accept-server-license-terms', '--telemetry-level', 'off'],
];

/**
 * @param {string} data the editor's data folder
 * @param {string} vsix
 */
export async function installExtension(data, vsix) {
  const { node, serverMain } = await ensureCodeServer();
  await run(node, [serverMain, ...folders(data), '--install-extension', vsix, '--force'], {
    quiet: true,
  });
}

/**
 * Starts an editor on a loopback port, which only those reach who know the token in its address: other users of the
 * machine see the port.
 * @param {string} data the editor's data folder
 * @param {{extensions?: string, trust?: boolean, driver?: boolean, environment?: Record<string, string>, nodeArguments?: readonly string[]}} [options]
 *   extensions: folder of what is installed, by default inside `data`; trust: ask for workspace trust; driver: with the
 *   smoke-test driver; nodeArguments: of the server and the extension host
 * @returns {Promise<{address: (folder: string, query?: Record<string, string>) => string, process: import('node:child_process').ChildProcess, close: () => Promise<void>}>}
 */
export async function startEditor(data, options = {}) {
  const { node, serverMain } = await ensureCodeServer();
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const token = randomBytes(32).toString('hex');
  // In a file: other users see the command line.
  const tokenFile = join(data, 'connection-token');
  await rm(tokenFile, { force: true });
  await writeFile(tokenFile, token, { mode: 0o600 });
  const server = startServer(
    node,
    [
      ...(options.nodeArguments ?? []),
      serverMain,
      ...folders(data, options.extensions),
      ...['--host', '127.0.0.1', '--port', String(port), '--connection-token-file', tokenFile],
      ...(options.trust ? [] : ['--disable-workspace-trust']),
      ...(options.driver ? ['--enable-smoke-test-driver'] : []),
    ],
    { ...process.env, ...options.environment },
  );
  const close = () => stop(server);
  try {
    await waitForServer(`${origin}/version`, server);
  } catch (error) {
    await close();
    throw error;
  }
  const address = (/** @type {string} */ folder, query = {}) =>
    `${origin}/?${new URLSearchParams({ folder, ...query, tkn: token }).toString()}`;
  return { address, process: server, close };
}
