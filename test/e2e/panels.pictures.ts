import { execFile } from 'node:child_process';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import type { Frame } from 'playwright-core';
import { beforeAll, describe, it } from 'vitest';
import { root } from '../../scripts/lib/repository.mjs';
import type { THEMES } from './support/session';
import { useSession } from './support/use-session';

// Each panel in each language: npm run package && npm run pictures
const datasets = join(root, 'test', 'fixtures', 'datasets');
const pictures = join(root, 'docs', 'pictures');
const artifacts = join(root, 'test', 'artifacts');
/** Chinese glyphs are the ones that high contrast may cut off. */
const panelThemes: Readonly<Record<string, readonly (keyof typeof THEMES)[]>> = {
  en: ['light', 'dark', 'highContrast'],
  'zh-cn': ['highContrast', 'highContrastLight'],
};

const espalier = async (...args: readonly string[]): Promise<unknown> =>
  promisify(execFile)(process.execPath, [join(root, 'dist', 'cli.js'), ...args]);

describe.each(['zh-cn', 'en'])('the panels in %s', (language) => {
  const session = useSession({
    settings: { 'espalier.device': 'cpu' },
    prepare: async (workspace) => {
      const sample = join(workspace, 'sample');
      const measured = ['--sequences', '2', '--length', '64'];
      await cp(join(datasets, 'strokes'), join(workspace, 'strokes'), { recursive: true });
      await espalier('profile', sample, ...measured, '--search', 'one-shot', '--no-baselines');
      await espalier(
        'sensitivity',
        sample,
        ...measured,
        '--methods',
        'lowrank,int4,int8',
        '--embeddings',
        '--head',
      );
      await espalier(
        ...['score-data', '--data', join(workspace, 'strokes'), '--runs', '2', '--epoch', '4'],
        ...['--out', join(workspace, 'strokes.scores.json')],
      );
      await espalier(
        ...['synthesize', '--out', join(workspace, 'evolved'), '--iterations', '2'],
        ...['--population', '8', '--keep', '4', '--programs', '1000000', '--size', 'small'],
        ...[
          '--epochs',
          '1',
          '--train',
          '64',
          '--validation',
          '60',
          '--test',
          '60',
          '--pictures',
          '0',
        ],
      );
    },
  });

  beforeAll(async () => {
    await session().workbench.speak(language);
  });

  const take = async (name: string, frame?: Frame): Promise<void> => {
    const { page } = session().workbench;
    await page.mouse.move(0, 0);
    for (const theme of panelThemes[language] ?? []) {
      await session().setTheme(theme);
      await page.waitForTimeout(600);
      const path = join(artifacts, `${name}-${language}-${theme}.png`);
      await page.screenshot({ path });
      if (name === 'compression' && language === 'en' && theme === 'dark') {
        await page.screenshot({ path: join(pictures, 'compression.png') });
      }
    }
    const screens = await frame?.evaluate(
      () => document.documentElement.scrollHeight / innerHeight,
    );
    for (let screen = 1; frame !== undefined && screen < (screens ?? 1); screen++) {
      await frame.evaluate((at) => {
        scrollTo(0, at * innerHeight * 0.9);
      }, screen);
      await page.waitForTimeout(300);
      await page.screenshot({ path: join(artifacts, `${name}-${language}-screen-${screen}.png`) });
    }
  };

  /** Manifest texts in the language. */
  const word = async (key: string): Promise<string> => {
    const file = language === 'en' ? 'package.nls.json' : `package.nls.${language}.json`;
    const texts: unknown = JSON.parse(await readFile(join(root, file), 'utf8'));
    return (texts as Record<string, string>)[key] ?? key;
  };

  it('heatmap and playground', async () => {
    const { workbench } = session();
    const labels = await Promise.all(['menu.more', 'command.openHeatmap'].map(word));
    await workbench.explorerMenu(['sample'], 'Espalier', ...labels);
    const frame = await workbench.webview('[role="gridcell"]');
    await frame.locator('[data-id="block.5.feedforward"]').click();
    await take('heatmap', frame);
    await workbench.runCommand('View: Close All Editors');
    await workbench.runCommand(`Espalier: ${await word('command.openPlayground')}`);
    await workbench.page.waitForTimeout(3000);
    await workbench.page.keyboard.press('Enter');
    const playground = await workbench.webview('textarea.prompt');
    await playground.locator('textarea.prompt').fill('The king said that');
    await playground.locator('textarea.prompt').press('Control+Enter');
    await playground.locator('.token').nth(20).waitFor();
    await take('playground');
  });

  it.each([
    ['compression', '#budget-title', ['sample.sensitivity.json']],
    ['explorer', '[role="treegrid"]', ['sample', 'model.safetensors']],
    ['datamap', '.gallery .card[data-index]', ['strokes.scores.json']],
    ['symbolic', '.population .module', ['evolved', 'synthesis.gssnn.json']],
  ] as const)('%s', async (name, selector, path) => {
    const { workbench } = session();
    await workbench.runCommand('View: Close All Editors');
    await workbench.explorer.open(...path);
    await take(name, await workbench.webview(selector));
  });

  it('views, settings and the walkthrough', async () => {
    const { workbench } = session();
    await workbench.showSideBar('Espalier');
    await workbench.page.waitForTimeout(3000);
    await take('views');
    await workbench.runCommand('Preferences: Open Settings (UI)');
    await workbench.page.locator('.settings-editor').waitFor();
    await workbench.page.waitForTimeout(1000);
    await workbench.page.keyboard.type('espalier');
    await workbench.page.waitForTimeout(3000);
    await take('settings');
    await workbench.page.keyboard.press('Escape');
    await workbench.page.keyboard.press('Escape');
    await workbench.page.locator('.settings-editor').waitFor({ state: 'hidden' });
    await workbench.runCommand('Welcome: Open Walkthrough...');
    await workbench.page.keyboard.type('Espalier');
    await workbench.page.keyboard.press('Enter');
    await workbench.page.waitForTimeout(2000);
    await take('walkthrough');
  });
});
