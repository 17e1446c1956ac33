import { beforeAll, describe, expect, it } from 'vitest';
import { accessibilityViolations } from './support/accessibility';
import { Heatmap } from './support/heatmap';
import { THEMES } from './support/session';
import { useSession } from './support/use-session';

describe('the heatmap panel', () => {
  const session = useSession({
    settings: {
      'espalier.device': 'cpu',
      'espalier.calibration.sequences': 2,
      'espalier.calibration.length': 64,
    },
  });

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
    for (const name of ['Profile', 'Evaluate', 'Save Plan', 'Prune…', 'Horizontal axis']) {
      expect(reached).toContain(name);
    }
    // The grid is one stop.
    expect([...reached].filter((name) => /^block\.\d+\.\w+$/.test(name))).toHaveLength(1);
  });
});

/** How VS Code marks a webview's body in each theme. */
const BODY_CLASSES = {
  light: 'vscode-light',
  dark: 'vscode-dark',
  highContrast: 'vscode-high-contrast:not(.vscode-high-contrast-light)',
  highContrastLight: 'vscode-high-contrast-light',
} as const;
