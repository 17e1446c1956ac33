import process from 'node:process';
import { capture, findProgram, run } from './processes.mjs';
import { say } from './terminal.mjs';

/** True if this process may install Debian packages. */
export function canUseApt() {
  return process.getuid?.() === 0 && findProgram(['apt-get']) !== undefined;
}

/**
 * Installs the Debian packages that are missing, as root; elsewhere says what is missing and goes on, since the
 * system may have the same libraries by another way.
 * @param {readonly string[]} packages
 */
export async function ensureDebianPackages(packages) {
  if (findProgram(['dpkg-query']) === undefined) return;
  const missing = [];
  for (const name of packages) {
    const query = ['-W', '-f', '${Status}', name];
    const { code, output } = await capture('dpkg-query', query, { quiet: true });
    if (code !== 0 || !output.includes('install ok installed')) missing.push(name);
  }
  if (missing.length === 0) return;
  if (!canUseApt()) {
    say(
      `Missing Debian packages, install them if what follows fails: apt-get install ${missing.join(' ')}`,
    );
    return;
  }
  say(`Installing Debian packages: ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-q'], { env, quiet: true });
  await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...missing], {
    env,
    quiet: true,
  });
}
