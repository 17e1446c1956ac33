import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Frame } from 'playwright-core';
import { beforeAll, expect, it } from 'vitest';
import { root } from '../../../scripts/lib/repository.mjs';
import { accessibilityViolations } from '../support/accessibility';
import { Heatmap } from '../support/heatmap';
import { THEMES } from '../support/session';
import type { Session } from '../support/session';

/** The panel of a model that has been profiled. */
export function testPanel(session: () => Session): void {
  beforeAll(async () => {
    const { workbench } = session();
    await workbench.explorer.open('sample', 'config.json');
    await workbench.explorerMenu(['sample'], 'Espalier', 'Profile Layers');
    const panel = await Heatmap.find(workbench);
    await panel.finished();
    const cell = panel.cell('block.0.feedforward');
    for (const mark of ['removed', 'protected']) {
      await cell.click();
      await panel.frame.locator(`[data-id="block.0.feedforward"][data-mark="${mark}"]`).waitFor();
    }
  });

  it.each(Object.keys(THEMES) as (keyof typeof THEMES)[])('is accessible: %s', async (theme) => {
    const { workbench } = session();
    await session().setTheme(theme);
    const { frame } = await Heatmap.find(workbench);
    await frame.locator(`body.${BODY_CLASSES[theme]}`).waitFor();
    expect(await accessibilityViolations(frame)).toEqual([]);
    await workbench.screenshot(`panel-${theme}`);
    await frame.locator('.candidates').scrollIntoViewIfNeeded();
    await workbench.screenshot(`panel-${theme}-below`);
    await frame.evaluate(() => {
      window.scrollTo(0, 0);
    });
  });

  it('has a name and a role for everything the keyboard reaches', async () => {
    const { frame } = await Heatmap.find(session().workbench);
    const { page } = session().workbench;
    await frame.locator('h1').click();
    const reached = new Set<string>();
    for (let press = 0; press < 60; press++) {
      await page.keyboard.press('Tab');
      const focused = await frame.evaluate(() => {
        const element = document.activeElement;
        return document.hasFocus() && element !== null && element !== document.body
          ? (element.getAttribute('data-id') ??
              element.getAttribute('aria-label') ??
              (element instanceof HTMLInputElement
                ? element.labels?.[0]?.textContent
                : undefined) ??
              element.textContent.trim())
          : undefined;
      });
      if (focused === undefined) break;
      expect(focused).not.toBe('');
      reached.add(focused);
    }
    for (const name of ['Profile', 'Measure', 'Save Plan', 'Prune…', 'Horizontal axis']) {
      expect(reached).toContain(name);
    }
    // The grid is one stop.
    expect([...reached].filter((name) => /^block\.\d+\.\w+$/.test(name))).toHaveLength(1);
  });
}

/** Every shared component, in the page of a panel, whose theme and stylesheets are the editor's. */
export function testGallery(session: () => Session): void {
  const gallery = async (): Promise<Frame> => session().workbench.webview('#controls-title');

  beforeAll(async () => {
    const { workbench } = session();
    await workbench.extensionKnown();
    await workbench.explorer.open('sample', 'model.safetensors');
    const frame = await workbench.webview('[role="treegrid"]');
    const [script, style] = await Promise.all(
      ['main.js', 'main.css'].map((name) =>
        readFile(join(root, 'dist', 'test', 'gallery', name), 'utf8'),
      ),
    );
    await frame.evaluate((css) => {
      document.body.replaceChildren();
      for (const link of document.querySelectorAll('link')) link.remove();
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(css ?? '');
      document.adoptedStyleSheets = [sheet];
    }, style);
    // Evaluated by the debugger, which the panel's content security policy does not bind.
    await frame.evaluate(script ?? '');
  });

  it.each(Object.keys(THEMES) as (keyof typeof THEMES)[])('is accessible: %s', async (theme) => {
    await session().setTheme(theme);
    const frame = await gallery();
    await frame.locator('canvas').first().waitFor();
    expect(await accessibilityViolations(frame)).toEqual([]);
    for (const part of ['main', '#tables-title', '#empty-title']) {
      await frame.locator(part).evaluate((element) => {
        element.scrollIntoView();
      });
      await session().workbench.screenshot(`gallery-${theme}-${part.replace('#', '')}`);
    }
  });

  it('sorts, slides and picks by keyboard', async () => {
    const { page } = session().workbench;
    const frame = await gallery();
    const bytes = frame.getByRole('columnheader', { name: 'Bytes' }).last();
    await bytes.getByRole('button').press('Enter');
    await expect.poll(async () => bytes.getAttribute('aria-sort')).toBe('ascending');
    await frame.getByRole('slider', { name: 'Target size' }).press('ArrowRight');
    await frame.getByText('41 %').waitFor();
    const logScale = frame.getByRole('checkbox', { name: 'Log scale' });
    await logScale.press(' ');
    await expect.poll(async () => logScale.isChecked()).toBe(false);
    await frame.getByRole('combobox', { name: 'Order' }).press('ArrowDown');
    await page.keyboard.press('Escape');
    await frame.getByRole('region', { name: 'Running job' }).getByText(/25\s%/).waitFor();
    await frame
      .getByRole('region', { name: 'Running job' })
      .getByRole('button', { name: 'Cancel' })
      .click();
    await frame.getByText('Canceling…').first().waitFor();
  });
}

/** Class of a webview's body in each VS Code theme. */
const BODY_CLASSES = {
  light: 'vscode-light',
  dark: 'vscode-dark',
  highContrast: 'vscode-high-contrast:not(.vscode-high-contrast-light)',
  highContrastLight: 'vscode-high-contrast-light',
} as const;
