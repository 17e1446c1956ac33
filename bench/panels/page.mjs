// A page that plays the editor to a panel.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, extname, join } from 'node:path';
import { root } from '../../scripts/lib/repository.mjs';

/** @type {Record<string, string>} */
const contentTypes = { '.js': 'text/javascript', '.css': 'text/css', '.ttf': 'font/ttf' };

/**
 * Sends the state when the panel is ready. Untyped, because Node's types don't include the page.
 */
const page = (/** @type {string} */ panel, /** @type {string} */ catalogue) => `<!doctype html>
<meta charset="utf-8">
<meta name="catalogue" content="${catalogue}">
<link rel="stylesheet" href="/${panel}.css">
<body></body>
<script>
  const tasks = [];
  var posted = [];
  new PerformanceObserver((list) => {
    tasks.push(...list.getEntries().map(({ duration }) => duration));
  }).observe({ entryTypes: ['longtask'] });
  const tell = (data) => window.dispatchEvent(new MessageEvent('message', { data }));
  const longest = () => Math.max(0, ...tasks.splice(0));
  const paint = async (state, answers) => {
    window.acquireVsCodeApi = () => ({
      getState: () => undefined,
      setState: () => undefined,
      postMessage: (message) => {
        const { type, id, name } = message;
        posted.push(message);
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

/** @param {string} name */
const contentType = (name) => contentTypes[extname(name)] ?? 'text/html';

/** @param {string} language */
const readCatalogue = async (language) => {
  const texts = await readFile(join(root, 'l10n', `bundle.l10n.${language}.json`), 'utf8');
  return texts.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
};

/**
 * A panel's state, what its calls are answered by name, and what changes then.
 * @typedef {{name: string, panel: string, state: object, answers?: object, patches: object[]}} PanelDocument
 */
/**
 * A page with a panel's stylesheet, and functions: `paint(state, answers)` loads its script, `tell(message)` is a message
 * from the host, `longest()` the longest task since it was last asked, in milliseconds.
 * @param {import('playwright-core').BrowserContext} context
 * @param {string} panel
 * @param {{language?: string, bundles?: string}} [options] language of the page's catalogue, such as `zh-cn`, and folder of
 *   the panels' scripts
 * @returns {Promise<{tab: import('playwright-core').Page, errors: string[]}>} errors come while it is there
 */
export async function openPage(
  context,
  panel,
  { language, bundles = join(root, 'dist', 'webview') } = {},
) {
  const catalogue = language === undefined ? '{}' : await readCatalogue(language);
  const tab = await context.newPage();
  /** @type {string[]} */
  const errors = [];
  tab.on('pageerror', (error) => errors.push(error.message));
  const server = createServer((request, response) => {
    const name = basename(request.url ?? '');
    const body =
      name === '' ? Promise.resolve(page(panel, catalogue)) : readFile(join(bundles, name));
    body.then(
      (text) => response.setHeader('content-type', contentType(name)).end(text),
      () => response.writeHead(404).end(),
    );
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  tab.once('close', () => server.close());
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await tab.goto(`http://127.0.0.1:${port}/`);
  return { tab, errors };
}

/**
 * Draws a document, and waits for the frame.
 * @param {import('playwright-core').Page} tab
 * @param {PanelDocument} document
 * @param {() => Promise<void>} [ready] called when the page has the document, before the panel's script is loaded
 * @returns {Promise<number>} milliseconds
 */
export async function paint(tab, { state, answers = {} }, ready) {
  // Making the document of its text is not the panel's work, nor is clearing away after that.
  await tab.evaluate(`window.known = [${JSON.stringify(state)}, ${JSON.stringify(answers)}]; 0`);
  await tab.waitForTimeout(300);
  await ready?.();
  return tab.evaluate('paint(...known)');
}

/**
 * Tells what has changed.
 * @param {import('playwright-core').Page} tab
 * @param {object} changes
 */
export const tellChanges = async (tab, changes) => {
  const nothing = { type: 'patch', patch: {}, cleared: [], added: {}, restore: {} };
  await tab.evaluate(`tell(${JSON.stringify({ ...nothing, ...changes })})`);
};
