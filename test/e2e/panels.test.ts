import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { llama8b } from '../../bench/inspect/models.mjs';
import { openPage, paint, tellChanges } from '../../bench/panels/page.mjs';
import type { PanelDocument } from '../../bench/panels/page.mjs';
import {
  compressionDocument,
  dataMapDocument,
  explorerDocument,
  ggufDocument,
  heatmapDocument,
  moeHeatmapDocument,
  newHeatmapDocument,
  playgroundDocument,
  reportDocument,
  symbolicDocument,
} from '../../bench/panels/states.mjs';
import { CHROMIUM_FLAGS, ensureChromium } from '../../scripts/lib/chromium.mjs';
import { root } from '../../scripts/lib/repository.mjs';
import { settled } from './support/settled';

/** Panels by themselves, without an editor around them: cached documents in a browser's page. */
describe('a panel', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: await ensureChromium(),
      args: CHROMIUM_FLAGS,
    });
  });
  afterAll(async () => {
    await browser.close();
  });

  const documents: Readonly<Record<string, () => PanelDocument | Promise<PanelDocument>>> = {
    heatmap: () => heatmapDocument(12, 10),
    'MoE heatmap': () => moeHeatmapDocument(3, 8),
    explorer: async () => explorerDocument(llama8b),
    'new heatmap': () => newHeatmapDocument(12),
    compression: () => compressionDocument(12),
    'GGUF compression': ggufDocument,
    datamap: dataMapDocument,
    symbolic: symbolicDocument,
    playground: playgroundDocument,
    report: reportDocument,
  };

  it.each(Object.keys(documents))(
    '%s: is walked by keyboard, and fits at 600 pixels and at double size',
    async (name) => {
      const document = await documents[name]?.();
      if (document === undefined) throw new Error(name);
      // At 200 % a page is half as wide, and has twice the pixels.
      const context = await browser.newContext({
        viewport: { width: 1200, height: 900 },
        deviceScaleFactor: 2,
      });
      const { tab, errors } = await openPage(context, document.panel);
      await tab.addStyleTag({ content: `:root { --vscode-focusBorder: ${focusColor}; }` });
      await paint(tab, document);
      await tab.waitForFunction(() => customElements.get('vscode-button') !== undefined);
      await settled(tab);
      const { stops, faults } = await walk(tab);
      expect(faults).toEqual([]);
      // A report has no more than its buttons.
      expect(stops).toBeGreaterThan(name === 'report' ? 5 : 8);
      for (const widget of await tab.locator(walkedByArrows).all()) {
        expect(await arrowMoves(widget), (await widget.getAttribute('role')) ?? '').toBe(true);
      }
      for (const [width, height] of [
        [720, 450],
        [600, 800],
      ] as const) {
        await tab.setViewportSize({ width, height });
        await settled(tab);
        expect(await tooWide(tab), `${width} pixels`).toEqual([]);
        await tab.screenshot({
          path: join(root, 'test', 'artifacts', `panel-${name.replaceAll(' ', '-')}-${width}.png`),
          fullPage: true,
        });
      }
      expect(errors).toEqual([]);
      await tab.close();
      const { tab: chinese } = await openPage(context, document.panel, { language: 'zh-cn' });
      await chinese.setViewportSize({ width: 600, height: 800 });
      await paint(chinese, document);
      expect(await chinese.locator('main').innerText()).toMatch(/\p{Script=Han}/u);
      await settled(chinese);
      expect(await tooWide(chinese), 'Chinese').toEqual([]);
      await context.close();
    },
  );

  it('shows Copy as Image without a pointer, since a finger does not hover', async () => {
    const context = await browser.newContext({ hasTouch: true, isMobile: true });
    const shown = symbolicDocument();
    const { tab } = await openPage(context, shown.panel);
    await paint(tab, shown);
    const copy = tab.getByRole('button', { name: /^Copy as Image/ }).first();
    await copy.waitFor();
    expect(await copy.evaluate((button) => getComputedStyle(button).opacity)).toBe('1');
    await context.close();
  });

  it('hands the focus of Stop on to the prompt when the text has ended', async () => {
    const context = await browser.newContext();
    const shown = playgroundDocument();
    const { tab } = await openPage(context, shown.panel);
    await paint(tab, { ...shown, state: { ...shown.state, run: { kind: 'running' } } });
    await tab.waitForFunction(() => customElements.get('vscode-button') !== undefined);
    const stop = tab.getByRole('button', { name: 'Stop' });
    await stop.focus();
    expect(await stop.evaluate((button) => button.matches(':focus'))).toBe(true);
    await tellChanges(tab, { patch: { run: { kind: 'done' } } });
    await stop.waitFor({ state: 'hidden' });
    await expect
      .poll(async () => tab.evaluate(() => document.activeElement?.className))
      .toBe('prompt');
    await context.close();
  });

  it('draws different line patterns if the user asks for patterns', async () => {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
    const shown = heatmapDocument(12, 10);
    const { tab } = await openPage(context, shown.panel);
    await paint(tab, shown);
    const patterns = async (): Promise<string[]> =>
      tab
        .locator('.cell[data-status="measured"] .fill')
        .evaluateAll((fills) => [
          ...new Set(
            fills
              .map((fill) => getComputedStyle(fill, '::after'))
              .map(({ content, display, backgroundImage }) =>
                content === 'none' || display === 'none' ? '' : backgroundImage,
              ),
          ),
        ]);
    expect(await patterns()).toEqual(['']);
    await tab.evaluate(() => {
      document.body.dataset['patterns'] = '';
    });
    expect((await patterns()).length).toBeGreaterThan(2);
    await tab.screenshot({ path: join(root, 'test', 'artifacts', 'panel-heatmap-patterns.png') });
    await context.close();
  });

  it('copies a chart as an image, through the host if the clipboard is unavailable', async () => {
    const context = await browser.newContext({
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    const shown = symbolicDocument();
    const { tab } = await openPage(context, shown.panel);
    await paint(tab, shown);
    const copy = tab.getByRole('button', { name: /^Copy as Image/ }).first();
    const copied = async (): Promise<number> =>
      tab.evaluate(async () => {
        const [item] = await navigator.clipboard.read();
        return item?.types.includes('image/png') === true
          ? (await item.getType('image/png')).size
          : 0;
      });
    await tab.waitForFunction(() => document.querySelector('canvas')?.width !== 300);
    await copy.press('Enter');
    await copy.getByText('Copied.').waitFor();
    expect(await copied()).toBeGreaterThan(1000);
    await tab.evaluate(() => {
      navigator.clipboard.write = async () => Promise.reject(new Error('closed'));
    });
    await copy.press('Enter');
    const saved = await tab.waitForFunction(() =>
      (globalThis as unknown as { posted?: { png?: string }[] }).posted?.find(({ png }) => png),
    );
    const { png = '' } = (await saved.jsonValue()) ?? {};
    expect(Buffer.from(png, 'base64').subarray(1, 4).toString()).toBe('PNG');
    await context.close();
  });

  it('has cells of thousands of experts only near the visible area and at the focus', async () => {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
    const shown = moeHeatmapDocument();
    const { tab } = await openPage(context, shown.panel);
    await paint(tab, shown);
    const cells = tab.locator('[role="gridcell"][data-id]');
    const first = tab.locator('[data-id="block.0.attention"]');
    const last = tab.locator('[data-id="block.47.expert.127"]');
    expect(await last.count()).toBe(0);
    await first.focus();
    await tab.keyboard.press('Control+End');
    await expect
      .poll(async () => last.evaluate((one) => one === document.activeElement))
      .toBe(true);
    expect(await last.getAttribute('aria-label')).toMatch(/^Expert 127, block 47/);
    await expect.poll(async () => tab.locator('[data-id="block.3.expert.126"]').count()).toBe(1);
    await expect.poll(async () => first.count()).toBe(0);
    expect(await cells.count()).toBeLessThan(48 * 70);
    // The cell with the focus stays where it is scrolled out of sight.
    await tab.locator('.grid-scroll').evaluate((one) => {
      one.scrollTop = 0;
    });
    await first.waitFor();
    expect(await last.evaluate((one) => one === document.activeElement)).toBe(true);
    await context.close();
  });

  it('draws an expert as one element with visible focus, mark and pattern', async () => {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
    const shown = moeHeatmapDocument();
    const { tab } = await openPage(context, shown.panel);
    await tab.addStyleTag({
      content: `:root { --vscode-focusBorder: ${focusColor}; --vscode-foreground: gray; }`,
    });
    await paint(tab, shown);
    const experts = tab.locator('.cell.plain');
    await expect.poll(async () => experts.count()).toBeGreaterThan(1000);
    expect(await tab.locator('.cell.plain:not([data-mark="protected"]) > *').count()).toBe(0);
    // Each cell has the color of its distance.
    const colors = await tab
      .locator('.cell.plain[data-mark="keep"]')
      .evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell).backgroundColor));
    expect(new Set(colors).size).toBeGreaterThan(10);
    const id = 'block.1.expert.1';
    const cell = tab.locator(`[data-id="${id}"]`);
    await tab.locator('[data-id="block.1.expert.0"]').focus();
    await tab.keyboard.press('ArrowDown');
    for (const removed of [[], [id]]) {
      await tellChanges(tab, { patch: { removed } });
      await expect
        .poll(async () => cell.getAttribute('aria-selected'))
        .toBe(String(removed.includes(id)));
      const look = await cell.evaluate((one) => {
        const { outlineColor, borderTopWidth } = getComputedStyle(one);
        return { outlineColor, borderTopWidth };
      });
      expect(look).toEqual({ outlineColor: focusColor, borderTopWidth: '1px' });
    }
    await tellChanges(tab, { patch: { removed: [], protectedIds: [id] } });
    await cell.locator('.badge .icon').waitFor();
    await tab.evaluate(() => {
      document.body.dataset['patterns'] = '';
    });
    const pattern = await tab
      .locator('.cell.plain[data-mark="keep"][data-band="3"]')
      .first()
      .evaluate((one) => getComputedStyle(one, '::after').backgroundImage);
    expect(pattern).toContain('repeating-linear-gradient');
    await tab.screenshot({ path: join(root, 'test', 'artifacts', 'panel-MoE-patterns.png') });
    await context.close();
  });

  it('updates only the changed cells of the heatmap', async () => {
    const shown = heatmapDocument(12, 10);
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
    const { tab } = await openPage(context, shown.panel);
    await paint(tab, shown);
    await tellChanges(tab, shown.patches[0] ?? {});
    await settled(tab);
    await tab.evaluate(() => {
      new MutationObserver((records) => {
        document.body.dataset['changes'] = String(
          Number(document.body.dataset['changes'] ?? 0) + records.length,
        );
      }).observe(document.querySelector('main') ?? document, {
        ...{ subtree: true, childList: true, attributes: true, characterData: true },
      });
    });
    const countChanges = async (changes: object): Promise<number> => {
      await tab.evaluate(() => {
        document.body.dataset['changes'] = '0';
      });
      await tellChanges(tab, changes);
      await settled(tab);
      return tab.evaluate(() => Number(document.body.dataset['changes']));
    };
    const running = shown.patches[1] as { patch: object; added: object };
    // The progress bar's two numbers, its length and its label.
    const reported = await countChanges({ patch: running.patch });
    expect(reported).toBeGreaterThan(0);
    expect(reported).toBeLessThan(5);
    expect(await countChanges({ patch: running.patch })).toBe(0);
    // A cell's color, number and label, its row, and where it changes the rank of others theirs.
    expect(await countChanges({ added: running.added })).toBeLessThan(30);
    await context.close();
  });
});

/** Color that no panel uses elsewhere. */
const focusColor = 'rgb(1, 2, 3)';

/** One stop of the Tab key each, with arrow keys inside. */
const walkedByArrows =
  '[role="grid"], [role="treegrid"], [role="listbox"]:is(.population, .tokens)';

/** True if an arrow key moves the focus from the first part of a widget to another. */
async function arrowMoves(widget: Locator): Promise<boolean> {
  // The element itself: the tab stop moves with the focus.
  const first = await widget.locator('[tabindex="0"]').first().elementHandle();
  await first.focus();
  for (const key of ['ArrowRight', 'ArrowDown']) {
    await widget.page().keyboard.press(key);
    const hasMoved = await widget.evaluate(
      (all, start) => all.contains(document.activeElement) && document.activeElement !== start,
      first,
    );
    if (hasMoved) return true;
  }
  return false;
}

/** Tabs through the page and lists elements without a name or a visible focus. */
async function walk(tab: Page): Promise<{ stops: number; faults: string[] }> {
  const faults: string[] = [];
  for (let press = 0; press < 300; press++) {
    await tab.keyboard.press('Tab');
    const look = async () =>
      tab.evaluate((color) => {
        const host = document.activeElement;
        const deepFocus = (one: Element | null): Element | null => {
          const inner = one?.shadowRoot?.activeElement ?? null;
          return inner === null ? one : deepFocus(inner);
        };
        const element = deepFocus(host);
        if (host === null || element === null || host === document.body) {
          return { place: '', name: '', isVisible: true };
        }
        const parts = [element, ...(host.shadowRoot?.querySelectorAll('.control, .root') ?? [])];
        const shows = (one: Element) => {
          const style = getComputedStyle(one);
          return (
            (style.outlineStyle !== 'none' && style.outlineColor === color) ||
            style.borderTopColor === color
          );
        };
        const { left, top, width, height } = host.getBoundingClientRect();
        const isSeen = width > 0 && left < innerWidth && top < innerHeight && top + height > 0;
        return {
          place: host.outerHTML.slice(0, 120),
          name: [
            host.getAttribute('aria-label'),
            host.getAttribute('aria-labelledby'),
            host instanceof HTMLInputElement ? host.labels?.[0]?.textContent : '',
            host.textContent,
          ]
            .join('')
            .trim(),
          isVisible: isSeen && parts.some(shows),
        };
      }, focusColor);
    let { place, name, isVisible } = await look();
    if (!isVisible) {
      // Styles of an element that was just made come a moment later on a busy machine.
      await settled(tab);
      ({ place, name, isVisible } = await look());
    }
    if (place === '') return { stops: press, faults };
    if (name === '') faults.push(`no name: ${place}`);
    if (!isVisible) faults.push(`focus not seen: ${place}`);
  }
  return { stops: 300, faults: [...faults, 'Tab does not leave the page'] };
}

/** Elements that overflow the page or are cut off. */
async function tooWide(tab: Page): Promise<string[]> {
  return tab.evaluate(() => {
    const scrolls = (element: Element | null): boolean =>
      element !== null &&
      (['auto', 'scroll'].includes(getComputedStyle(element).overflowX) ||
        scrolls(element.parentElement));
    const faults = [...document.querySelectorAll('main *')].flatMap((element) => {
      const { right, width } = element.getBoundingClientRect();
      if (width < 2 || scrolls(element)) return [];
      const { overflowX, textOverflow } = getComputedStyle(element);
      const isCut =
        ['hidden', 'clip'].includes(overflowX) &&
        textOverflow !== 'ellipsis' &&
        element.scrollWidth > element.clientWidth + 1;
      return right > innerWidth + 1 || isCut ? [element.outerHTML.slice(0, 120)] : [];
    });
    const page = document.documentElement;
    return page.scrollWidth > page.clientWidth ? [...faults, 'the page'] : faults;
  });
}
