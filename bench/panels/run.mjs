// Measures panels in Chromium: npm run package && node bench/panels/run.mjs
// From a frame that is there, with a document that the host knows, to its first paint; and the longest task after.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { CHROMIUM_FLAGS, ensureChromium } from '../../scripts/lib/chromium.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { Machine } from '../lib/machine.mjs';
import {
  compressionDocument,
  dataMapDocument,
  explorerDocument,
  heatmapDocument,
} from './states.mjs';

const { values: options } = parseArgs({ options: { runs: { type: 'string', default: '5' } } });
/** @type {Record<string, string>} */
const contentTypes = { js: 'text/javascript', css: 'text/css', ttf: 'font/ttf' };

/** A page that plays the host: it tells the state when the panel is ready. Not typed, since Node knows no page. */
const page = (/** @type {string} */ panel) => `<!doctype html>
<link rel="stylesheet" href="/${panel}.css">
<body></body>
<script>
  const tasks = [];
  new PerformanceObserver((list) => {
    tasks.push(...list.getEntries().map(({ duration }) => duration));
  }).observe({ entryTypes: ['longtask'] });
  const tell = (data) => window.dispatchEvent(new MessageEvent('message', { data }));
  const longest = () => Math.max(0, ...tasks.splice(0));
  const paint = async (state, answers) => {
    window.acquireVsCodeApi = () => ({
      getState: () => undefined,
      setState: () => undefined,
      postMessage: ({ type, id, name }) => {
        const answer = type === 'ready'
          ? { type: 'state', state, restore: {} }
          : { type: 'answer', id, answer: { ok: answers[name] } };
        // A message is a task of its own.
        setTimeout(() => tell(answer));
      },
    });
    const start = performance.now();
    const script = Object.assign(document.createElement('script'), { type: 'module' });
    script.src = '/${panel}.js';
    document.body.append(script);
    while (document.querySelector('h1') === null) await new Promise((next) => setTimeout(next));
    await new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
    return performance.now() - start;
  };
</script>`;

/**
 * A panel's state, what its calls are answered by name, and what changes then.
 * @typedef {{name: string, panel: string, state: object, answers?: object, patches: object[]}} Document
 */
/** @typedef {{painted: number, opening: number, updates: number}} Times milliseconds */

/**
 * @param {import('playwright-core').Browser} browser
 * @param {Document} document
 * @returns {Promise<Times>}
 */
async function measure(browser, { panel, state, answers = {}, patches }) {
  const tab = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  /** @type {string[]} */
  const errors = [];
  tab.on('pageerror', (error) => errors.push(error.message));
  await tab.route('http://panel.test/**', async (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    if (name === '') {
      await route.fulfill({ contentType: 'text/html', body: page(panel) });
      return;
    }
    const [, extension = ''] = name.split('.');
    const body = await readFile(join(root, 'dist', 'webview', name));
    await route.fulfill({ contentType: contentTypes[extension] ?? 'text/plain', body });
  });
  await tab.goto('http://panel.test/');
  /** @type {number} */
  const painted = await tab.evaluate(`paint(${JSON.stringify(state)}, ${JSON.stringify(answers)})`);
  await tab.waitForTimeout(500);
  /** @type {number} */
  const opening = await tab.evaluate('longest()');
  const nothing = { type: 'patch', patch: {}, cleared: [], added: {}, restore: {} };
  for (const changes of patches) {
    await tab.evaluate(`tell(${JSON.stringify({ ...nothing, ...changes })})`);
    await tab.waitForTimeout(100);
  }
  /** @type {number} */
  const updates = await tab.evaluate('longest()');
  await tab.close();
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return { painted, opening, updates };
}

/** @param {number[]} values */
function told(values) {
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
    const of = (/** @type {'painted' | 'opening' | 'updates'} */ which) =>
      told(results.map((result) => result[which]));
    rows.push(`| ${document.name} | ${of('painted')} | ${of('opening')} | ${of('updates')} |`);
  }
  // The browser's processes are counted as this bench's own while they are there.
  await machine.publish(
    join(import.meta.dirname, 'RESULTS.md'),
    `# Panels: first paint and long tasks

${await machine.describe()}
Command: \`npm run package && node bench/panels/run.mjs\`.

*First paint* is from a page that is there to its first frame with the document, scripts from memory. *Opening* and *updates* are the
longest tasks over 50 ms, in the half second after and over twenty updates; 0 where there was none. Milliseconds, median of
${options.runs} runs (worst).

| document | first paint, ms | opening, ms | updates, ms |
|---|--:|--:|--:|
${rows.join('\n')}
`,
  );
} finally {
  await browser.close();
}
