import { createHash } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, withLock } from './cache.mjs';
import { npmCommand, npmEnvironment } from './npm.mjs';
import { run } from './processes.mjs';
import { root } from './repository.mjs';
import { duration, say } from './terminal.mjs';

/**
 * @typedef {{version?: string, optional?: boolean, devOptional?: boolean, peer?: boolean}} LockedPackage
 */

/** Runs `npm ci` unless node_modules already holds what package-lock.json asks for. */
export async function ensureDependencies() {
  if (await isInstalled()) return;
  // npm ci would empty the folder that the link leads to, which is another checkout's.
  if (await isLink(join(root, 'node_modules'))) {
    throw new Error(
      'node_modules is a link, and holds other packages than package-lock.json asks for: remove the link.',
    );
  }
  const checkout = createHash('sha256').update(root).digest('hex').slice(0, 12);
  await withLock(join(cacheFolder(), `npm-ci-${checkout}.lock`), async () => {
    if (await isInstalled()) return;
    say('Installing dependencies (npm ci)');
    const start = Date.now();
    const npm = npmCommand();
    await run(npm.file, [...npm.args, 'ci', '--no-audit', '--no-fund', '--prefer-offline'], {
      cwd: root,
      env: npmEnvironment(),
      quiet: true,
    });
    say(`Installed dependencies in ${duration(Date.now() - start)}`);
  });
}

/** @param {string} path */
async function isLink(path) {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

/** Compares npm's record of what it installed with package-lock.json, package by package. */
async function isInstalled() {
  const wanted = await lockedPackages(join(root, 'package-lock.json'));
  const present = await lockedPackages(join(root, 'node_modules', '.package-lock.json')).catch(
    () => undefined,
  );
  if (present === undefined) return false;
  for (const [path, { version, optional, devOptional }] of wanted) {
    const found = present.get(path);
    // Optional packages of other platforms are rightly absent.
    if (found === undefined ? !optional && !devOptional : found.version !== version) return false;
  }
  return [...present.keys()].every((path) => wanted.has(path));
}

/**
 * @param {string} file
 * @returns {Promise<Map<string, LockedPackage>>}
 */
async function lockedPackages(file) {
  /** @type {{packages: Record<string, LockedPackage>}} */
  const lock = JSON.parse(await readFile(file, 'utf8'));
  return new Map(Object.entries(lock.packages).filter(([path]) => path !== ''));
}
