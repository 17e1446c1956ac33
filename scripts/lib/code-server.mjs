import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { cached } from './cache.mjs';
import { ensureNode24 } from './node24.mjs';
import { npmCommand, npmEnvironment } from './npm.mjs';
import { run } from './processes.mjs';
import { ensureDebianPackages } from './system-packages.mjs';
import { say } from './terminal.mjs';

const VERSION = '4.139.1';

/**
 * Debian packages against which code-server's native modules (kerberos, keyring, keyboard layouts)
 * are built.
 */
const BUILD_PACKAGES = [
  'build-essential',
  'libkrb5-dev',
  'libsecret-1-dev',
  'libx11-dev',
  'libxkbfile-dev',
  'pkg-config',
  'python3',
];

/**
 * A VS Code that needs no desktop: code-server from npm, kept in the user's cache folder.
 * @returns {Promise<{node: string, serverMain: string}>} serverMain: VS Code's server in it, which unlike code-server's
 *   own command line takes a connection token and has the smoke-test driver
 */
export async function ensureCodeServer() {
  if (process.platform === 'win32') {
    throw new Error(
      'code-server does not run on Windows; install VS Code or set VSCODE_EXECUTABLE',
    );
  }
  const node24 = await ensureNode24();
  const name = `code-server-${VERSION}-${process.platform}-${process.arch}`;
  const root = await cached(name, async (folder) => {
    await ensureDebianPackages(BUILD_PACKAGES);
    const manifest = { private: true, allowScripts: { 'code-server': true, argon2: true } };
    await writeFile(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    say('code-server compiles its native modules: about 2 minutes');
    const npm = npmCommand(node24.node);
    const install = ['install', `code-server@${VERSION}`, '--no-audit', '--no-fund'];
    await run(npm.file, [...npm.args, ...install], {
      cwd: folder,
      env: npmEnvironment({ npm_config_nodedir: node24.folder }, node24.bin),
      quiet: true,
    });
  });
  const folder = join(root, 'node_modules', 'code-server');
  return {
    node: node24.node,
    serverMain: join(folder, 'lib', 'vscode', 'out', 'server-main.js'),
  };
}
