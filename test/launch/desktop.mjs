import { existsSync, realpathSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { cacheFolder } from '../../scripts/lib/cache.mjs';
import { findProgram, hasDisplay, isExecutable } from '../../scripts/lib/processes.mjs';

/**
 * The desktop VS Code that test-electron can start: the one that VSCODE_EXECUTABLE names, else an installed one where
 * there is a display. Nothing is downloaded.
 * @returns {string | undefined} the Electron executable
 */
export function findDesktopVsCode() {
  const named = process.env['VSCODE_EXECUTABLE'];
  if (named) {
    if (isExecutable(named)) return named;
    throw new Error(`VSCODE_EXECUTABLE is ${named}, which is not an executable file`);
  }
  return hasDisplay() ? installed().find((file) => existsSync(file)) : undefined;
}

function installed() {
  if (process.platform === 'darwin') {
    const contents = '/Applications/Visual Studio Code.app/Contents/MacOS';
    return [join(contents, 'Code'), join(contents, 'Electron')];
  }
  const command = findProgram(['code']);
  if (command === undefined) return [];
  const beside = join(dirname(realpathSync(command)), '..');
  return process.platform === 'win32' ? [join(beside, 'Code.exe')] : [join(beside, 'code')];
}

/**
 * Runs the suites in a desktop VS Code.
 * @param {import('./extension-host.mjs').SuiteRun} suite
 * @param {string | undefined} executable undefined: test-electron downloads one
 * @returns {Promise<number>} the exit code
 */
export async function runInDesktop(suite, executable) {
  const { runTests } = await import('@vscode/test-electron');
  const userData = await mkdtemp(join(tmpdir(), 'espalier-user-'));
  try {
    return await runTests({
      ...(executable === undefined
        ? { version: 'stable', cachePath: join(cacheFolder(), 'vscode-desktop') }
        : { vscodeExecutablePath: executable }),
      extensionDevelopmentPath: suite.extension,
      extensionTestsPath: suite.tests,
      extensionTestsEnv: suite.environment,
      launchArgs: [
        suite.workspace,
        '--disable-workspace-trust',
        '--disable-extensions',
        '--skip-welcome',
        '--skip-release-notes',
        `--user-data-dir=${join(userData, 'data')}`,
        `--extensions-dir=${join(userData, 'extensions')}`,
      ],
    });
  } finally {
    await rm(userData, { recursive: true, force: true });
  }
}
