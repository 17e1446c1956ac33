import { mkdir, writeFile } from 'node:fs/promises';
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

/** @param {string} data */
const folders = (data) => [
  ...['--user-data-dir', join(data, 'user')],
  ...['--extensions-dir', join(data, 'extensions')],
];

/**
 * @param {string} data the editor's data folder
 * @param {string} vsix
 */
export async function installExtension(data, vsix) {
  const { node, entry } = await ensureCodeServer();
  await run(node, [entry, ...folders(data), '--install-extension', vsix], { quiet: true });
}

/**
 * Starts code-server on a loopback port.
 * @param {string} data the editor's data folder
 * @param {{trust?: boolean, environment?: Record<string, string>}} [options] trust: ask for workspace trust
 * @returns {Promise<{address: (folder: string) => string, process: import('node:child_process').ChildProcess, close: () => Promise<void>}>}
 */
export async function startEditor(data, options = {}) {
  const { node, entry } = await ensureCodeServer();
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const server = startServer(
    node,
    [
      entry,
      ...folders(data),
      ...['--bind-addr', `127.0.0.1:${port}`, '--auth', 'none'],
      ...['--config', join(data, 'config.yaml')],
      ...['--disable-telemetry', '--disable-update-check', '--disable-getting-started-override'],
      ...(options.trust ? [] : ['--disable-workspace-trust']),
    ],
    { ...process.env, ...options.environment },
  );
  const close = () => stop(server);
  try {
    await waitForServer(`${origin}/healthz`, server);
  } catch (error) {
    await close();
    throw error;
  }
  const address = (/** @type {string} */ folder) =>
    `${origin}/?folder=${encodeURIComponent(folder)}`;
  return { address, process: server, close };
}
