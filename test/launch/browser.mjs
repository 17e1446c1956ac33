import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHROMIUM_FLAGS, ensureChromium, STAND_STILL } from '../../scripts/lib/chromium.mjs';
import { startEditor } from '../../scripts/lib/editor.mjs';

/**
 * Runs the suites in the extension host of code-server's VS Code, which a headless Chromium opens. The smoke-test
 * driver lets the page name the extension under development and its tests, and report the exit code.
 * @param {import('./extension-host.mjs').SuiteRun} suite
 * @returns {Promise<number>} the exit code
 */
export async function runInBrowser(suite) {
  const { chromium } = await import('playwright-core');
  const executablePath = await ensureChromium();
  const data = await mkdtemp(join(tmpdir(), 'espalier-server-'));
  const editor = await startEditor(data, { driver: true, environment: suite.environment });
  const browser = await chromium.launch({ executablePath, args: CHROMIUM_FLAGS });
  try {
    const page = await browser.newPage({ reducedMotion: 'reduce' });
    await page.addInitScript(STAND_STILL);
    const ended = reportedExit(page, suite.timeoutMilliseconds);
    await page.exposeFunction('codeAutomationLog', () => undefined);
    const payload = [
      ['extensionDevelopmentPath', `vscode-remote://remote${suite.extension}`],
      ['extensionTestsPath', `vscode-remote://remote${suite.tests}`],
    ];
    await page.goto(editor.address(suite.workspace, { payload: JSON.stringify(payload) }), {
      timeout: suite.timeoutMilliseconds,
    });
    return await ended;
  } finally {
    await browser.close();
    await editor.close();
    await rm(data, { recursive: true, force: true, maxRetries: 3 });
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
    // The browser is closed if the page can't be opened: the timer must not end the test run later.
    page.on('close', () => settle(1));
    page.exposeFunction('codeAutomationExit', settle).catch(reject);
  });
}
