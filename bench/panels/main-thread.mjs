// Processor time of the main thread for the heatmap of 48 × 128 experts: npm run package && node
// bench/panels/main-thread.mjs [--bundles FOLDER,…] [--experts 128] [--runs 5]. Folders of bundles, such as two copies of dist/webview,
// take turns, so that both see the same load.
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { CHROMIUM_FLAGS, ensureChromium } from '../../scripts/lib/chromium.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { openPage, paint, tellChanges } from './page.mjs';
import { moeHeatmapDocument } from './states.mjs';

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    experts: { type: 'string', default: '128' },
    bundles: { type: 'string', default: join(root, 'dist', 'webview') },
  },
});
/** @typedef {{task: number, script: number, style: number, layout: number}} Times milliseconds of the main thread */
const steps = { scrolled: 60, hovered: 60, pressed: 30 };

/**
 * Times of each phase, per step where it has several.
 * @param {import('playwright-core').Browser} browser
 * @param {string} bundles
 * @returns {Promise<Record<string, Times>>}
 */
async function measure(browser, bundles) {
  const document = moeHeatmapDocument(48, Number(options.experts));
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const { tab, errors } = await openPage(context, document.panel, { bundles });
  const session = await context.newCDPSession(tab);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  /** @type {Record<string, Times>} */
  const phases = {};
  let before = await times();
  await paint(tab, document, async () => {
    before = await times();
  });
  await finish('first paint');
  await tab.waitForTimeout(700);
  await finish('after it');
  for (const changes of document.patches) {
    await tellChanges(tab, changes);
    await tab.waitForTimeout(60);
  }
  await finish('update', document.patches.length);
  const grid = await tab.locator('.grid-scroll').boundingBox();
  if (grid === null) throw new Error('The page has no grid.');
  await tab.mouse.move(grid.x + 120, grid.y + 60);
  await tab.waitForTimeout(200);
  before = await times();
  for (let i = 0; i < steps.hovered; i++) {
    await tab.mouse.move(grid.x + 120 + 12 * i, grid.y + 60 + (i % 20) * 10);
    await nextFrame();
  }
  await finish('pointer moved', steps.hovered);
  await tab.mouse.move(1, 1);
  await tab.waitForTimeout(200);
  before = await times();
  await tab.evaluate(`(async () => {
    const grid = document.querySelector('.grid-scroll');
    for (let i = 0; i < ${steps.scrolled}; i++) {
      grid.scrollBy({ top: i < ${steps.scrolled / 2} ? 60 : -60, behavior: 'instant' });
      await new Promise(requestAnimationFrame);
    }
  })()`);
  await finish('frame scrolled', steps.scrolled);
  await tab.locator('[role="gridcell"][tabindex="0"]').focus();
  await tab.waitForTimeout(200);
  before = await times();
  for (let i = 0; i < steps.pressed; i++) {
    await tab.keyboard.press(i % 2 === 0 ? 'ArrowDown' : 'ArrowRight');
    await nextFrame();
  }
  await finish('arrow key', steps.pressed);
  for (let i = 0; i < 6; i++) {
    await tab.keyboard.press('Space');
    await tab.waitForTimeout(100);
  }
  await finish('cell marked', 6);
  await context.close();
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return phases;

  /**
   * @param {string} phase
   * @param {number} [count]
   */
  async function finish(phase, count = 1) {
    const now = await times();
    const each = (/** @type {keyof Times} */ name) => (now[name] - before[name]) / count;
    phases[phase] = {
      ...{ task: each('task'), script: each('script') },
      ...{ style: each('style'), layout: each('layout') },
    };
    before = now;
  }

  /** @returns {Promise<Times>} */
  async function times() {
    const { metrics } = await session.send('Performance.getMetrics');
    const named = (/** @type {string} */ name) =>
      1000 * (metrics.find((one) => one.name === name)?.value ?? 0);
    return {
      ...{ task: named('TaskDuration'), script: named('ScriptDuration') },
      ...{ style: named('RecalcStyleDuration'), layout: named('LayoutDuration') },
    };
  }

  async function nextFrame() {
    await tab.evaluate('new Promise(requestAnimationFrame).then(() => 0)');
  }
}

const folders = options.bundles.split(',');
const browser = await chromium.launch({
  executablePath: await ensureChromium(),
  args: CHROMIUM_FLAGS,
});
/** @type {Map<string, Record<string, Times>[]>} */
const results = new Map(folders.map((folder) => [folder, []]));
try {
  for (let run = 0; run < Number(options.runs); run++) {
    for (const folder of folders) results.get(folder)?.push(await measure(browser, folder));
  }
} finally {
  await browser.close();
}
/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
for (const [folder, all] of results) {
  const rows = Object.keys(all[0] ?? {}).map((phase) => {
    const columns = /** @type {const} */ (['task', 'script', 'style', 'layout']);
    const cells = columns.map((column) =>
      median(all.map((one) => one[phase]?.[column] ?? 0)).toFixed(1),
    );
    return `| ${[phase, ...cells].join(' | ')} |`;
  });
  process.stdout.write(`${folder}, median of ${options.runs} runs, ms of the main thread\n\n`);
  process.stdout.write(
    '| each | all | scripts | styles | layout |\n| --- | --: | --: | --: | --: |\n',
  );
  process.stdout.write(`${rows.join('\n')}\n\n`);
}
