import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { CHROMIUM_FLAGS, ensureChromium } from '../../scripts/lib/chromium.mjs';
import { ensureCodeServer } from '../../scripts/lib/code-server.mjs';
import { freePort, startServer, stop, waitForServer } from '../../scripts/lib/processes.mjs';

/**
 * Runs the suites in the extension host of code-server's VS Code, which a headless Chromium opens. The smoke-test
 * driver lets the page name the extension under development and its tests, and report the exit code.
 * @param {import('./extension-host.mjs').SuiteRun} suite
 * @returns {Promise<number>} the exit code
 */
export async function runInBrowser(suite) {
  const { chromium } = await import('playwright-core');
  const [codeServer, executablePath] = [await ensureCodeServer(), await ensureChromium()];
  const serverData = await mkdtemp(join(tmpdir(), 'espalier-server-'));
  const port = await freePort();
  const server = startServer(
    codeServer.node,
    [
      codeServer.serverMain,
      ...['--host', '127.0.0.1', '--port', String(port)],
      '--without-connection-token',
      '--accept-server-license-terms',
      '--enable-smoke-test-driver',
      '--disable-workspace-trust',
      ...['--server-data-dir', serverData, '--telemetry-level', 'off'],
    ],
    { ...process.env, ...suite.environment },
  );
  const browser = await chromium.launch({ executablePath, args: CHROMIUM_FLAGS });
  try {
    await waitForServer(`http://127.0.0.1:${port}/version`, server);
    const page = await browser.newPage();
    const ended = reportedExit(page, suite.timeoutMilliseconds);
    await page.exposeFunction('codeAutomationLog', () => undefined);
    const payload = [
      ['extensionDevelopmentPath', `vscode-remote://remote${suite.extension}`],
      ['extensionTestsPath', `vscode-remote://remote${suite.tests}`],
    ];
    const query = new URLSearchParams({
      folder: suite.workspace,
      payload: JSON.stringify(payload),
    });
    await page.goto(`http://127.0.0.1:${port}/?${query.toString()}`);
    return await ended;
  } finally {
    await browser.close();
    await stop(server);
    await rm(serverData, { recursive: true, force: true, maxRetries: 3 });
  }
}

/**
 * @param {import('playwright-core').Page} page
 * @param {number} timeoutMilliseconds
 * @returns {Promise<number>}
 */
async function reportedExit(page, timeoutMilliseconds) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`the suites did not end within ${timeoutMilliseconds / 1000} s`));
    }, timeoutMilliseconds);
    const settle = (/** @type {number} */ code) => {
      clearTimeout(timer);
      resolve(code);
    };
    page.on('crash', () => settle(1));
    page.exposeFunction('codeAutomationExit', settle).catch(reject);
  });
}
