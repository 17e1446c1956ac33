import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Frame } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../../scripts/lib/repository.mjs';
import { accessibilityViolations } from './support/accessibility';
import { THEMES } from './support/session';
import { useSession } from './support/use-session';

/** Every shared component, in the page of a panel, whose theme and stylesheets are the editor's. */
describe('the gallery of components', () => {
  const session = useSession();
  const gallery = async (): Promise<Frame> => session().workbench.webview('#controls-title');

  beforeAll(async () => {
    const { workbench } = session();
    await workbench.page.getByRole('button', { name: 'Models Section' }).waitFor();
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
    await frame.getByRole('region', { name: 'Running job' }).getByText('25.0').waitFor();
    await frame
      .getByRole('region', { name: 'Running job' })
      .getByRole('button', { name: 'Cancel' })
      .click();
    await frame.getByText('Cancelling…').first().waitFor();
  });
});
