import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { findProgram, run } from './processes.mjs';

/**
 * Command that starts npm with a given Node: npm's own script if it is found, otherwise the program
 * on PATH.
 * @param {string} [node]
 * @returns {{file: string, args: string[]}}
 */
export function npmCommand(node = process.execPath) {
  const script = process.env['npm_execpath'] ?? siblingNpmScript(process.execPath);
  if (script !== undefined && script.endsWith('npm-cli.js')) return { file: node, args: [script] };
  const npm = findProgram(['npm']);
  if (npm === undefined) throw new Error('npm is not on PATH; install Node.js 20 or later');
  return { file: npm, args: [] };
}

/** @param {string} node */
function siblingNpmScript(node) {
  const folder = dirname(node);
  return [
    join(folder, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(folder, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ].find((file) => existsSync(file));
}

/**
 * The environment for npm: what `npm run` set for its own script would otherwise override the new call's settings.
 * @param {Record<string, string>} [extra]
 * @param {string} [firstOnPath]
 * @returns {NodeJS.ProcessEnv}
 */
export function npmEnvironment(extra = {}, firstOnPath) {
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const environment = { ...Object.fromEntries(inherited), ...extra };
  if (firstOnPath !== undefined) {
    environment['PATH'] = `${firstOnPath}${delimiter}${process.env['PATH'] ?? ''}`;
  }
  return environment;
}

/**
 * Installs a package into a folder of its own, none of its scripts run.
 * @param {string} name of a package, with its version
 * @param {string} folder
 */
export async function installPackage(name, folder) {
  await writeFile(join(folder, 'package.json'), '{"private": true}\n');
  const npm = npmCommand();
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--omit=dev', '--no-save'];
  await run(npm.file, [...npm.args, 'install', ...options, name], {
    cwd: folder,
    env: npmEnvironment(),
    quiet: true,
  });
}
