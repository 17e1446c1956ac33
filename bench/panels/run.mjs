// // Measures panels in Chromium: npm run package && node bench/panels/run.mjs The time from an
// existing frame and a loaded document to the first paint, and the longest task afterwards, during
// updates and scrolling.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { CHROMIUM_FLAGS, ensureChromium } from '../../scripts/lib/chromium.mjs';
import { Machine } from '../lib/machine.mjs';
import { openPage, paint, tellChanges } from './page.mjs';
import {
  compressionDocument,
  dataMapDocument,
  explorerDocument,
  heatmapDocument,
  moeHeatmapDocument,
} from './states.mjs';

const { values: options } = parseArgs({ options: { runs: { type: 'string', default: '5' } } });
/** @typedef {{painted: number, opening: number, updates: number, scrolling: number, frame: number}} Times milliseconds */

/** Frames that a panel is scrolled for, down and up again. */
const scrolledFrames = 120;

/**
 * Scrolls all of a panel, a bit with each frame. As a text, which the page evaluates.
 * @param {import('playwright-core').Page} tab
 * @returns {Promise<number>} milliseconds between two frames, as 19 of 20 had
 */
const scroll = (tab) =>
  tab.evaluate(`(async () => {
    const all = [document.scrollingElement, ...document.querySelectorAll('*')];
    const scrolled = all.filter((one) => one.scrollHeight > one.clientHeight + 40);
    const waits = [];
    let before = await new Promise(requestAnimationFrame);
    for (let i = 0; i < ${scrolledFrames}; i++) {
      const by = i < ${scrolledFrames / 2} ? 60 : -60;
      for (const one of scrolled) one.scrollBy({ top: by, left: by, behavior: 'instant' });
      const now = await new Promise(requestAnimationFrame);
      waits.push(now - before);
      before = now;
    }
    return waits.sort((a, b) => a - b)[Math.floor(0.95 * waits.length)];
  })()`);

/**
 * @param {import('playwright-core').Browser} browser
 * @param {import('./page.mjs').PanelDocument} document
 * @returns {Promise<Times>}
 */
async function measure(browser, document) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const { tab, errors } = await openPage(context, document.panel);
  const painted = await paint(tab, document);
  await tab.waitForTimeout(500);
  /** @type {number} */
  const opening = await tab.evaluate('longest()');
  for (const changes of document.patches) {
    await tellChanges(tab, changes);
    await tab.waitForTimeout(100);
  }
  /** @type {number} */
  const updates = await tab.evaluate('longest()');
  const frame = await scroll(tab);
  /** @type {number} */
  const scrolling = await tab.evaluate('longest()');
  await context.close();
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return { painted, opening, updates, scrolling, frame };
}

/** @param {number[]} values */
function formatMeasurements(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const [median = 0, most = 0] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return `${median.toFixed(0)} (${most.toFixed(0)})`;
}

const machine = await Machine.watch();
const browser = await chromium.launch({
  executablePath: await ensureChromium(),
  args: CHROMIUM_FLAGS,
});
/** @type {string[]} */
const rows = [];
try {
  const documents = [
    heatmapDocument(),
    moeHeatmapDocument(),
    await explorerDocument(),
    compressionDocument(),
    dataMapDocument(),
  ];
  for (const document of documents) {
    /** @type {Times[]} */
    const results = [];
    for (let run = 0; run < Number(options.runs); run++) {
      results.push(await measure(browser, document));
    }
    const of = (/** @type {keyof Times} */ which) =>
      formatMeasurements(results.map((result) => result[which]));
    const columns = /** @type {const} */ (['painted', 'opening', 'updates', 'scrolling', 'frame']);
    rows.push(`| ${[document.name, ...columns.map(of)].join(' | ')} |`);
  }
  // The browser's processes are counted as this bench's own while they are there.
  await machine.publish(
    join(import.meta.dirname, 'RESULTS.md'),
    `# Panels: first paint and long tasks

${await machine.describe()}
Command: \`npm run package && node bench/panels/run.mjs\`.

*First paint* is from a page that is there to its first frame with the document, scripts from memory. *Opening* and *updates* are the
longest tasks over 50 ms, in the half second after and over twenty updates; *scrolling* is the same over ${scrolledFrames} frames of scrolling,
and *frame* what 19 of 20 of those took; 0 where there was none. Milliseconds, median of ${options.runs} runs (worst).

| document | first paint, ms | opening, ms | updates, ms | scrolling, ms | frame, ms |
|---|--:|--:|--:|--:|--:|
${rows.join('\n')}
`,
  );
} finally {
  await browser.close();
}
