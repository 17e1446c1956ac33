import { cp, link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Frame } from 'playwright-core';
import { beforeAll, expect, it } from 'vitest';
import { openDataset } from '../../../extension/core/data/datasets/open-dataset';
import {
  bareScores,
  writeScoreDocument,
} from '../../../extension/core/datadiet/scores/score-document';
import { root } from '../../../scripts/lib/repository.mjs';
import { accessibilityViolations } from '../support/accessibility';
import { THEMES } from '../support/session';
import type { Session } from '../support/session';
import { isFocused, until } from '../support/until';

/** Datasets inside and outside the workspace. */
export async function placeDataSets(workspace: string): Promise<void> {
  await cp(strokes, join(workspace, 'strokes'), { recursive: true });
  await writeMany(workspace);
}

/** Preload that keeps the export of the dataset `many` from ending before a test cancels it. */
export const slowCopies = join(import.meta.dirname, 'slow-copies.mjs');

/** Tests in the session of a workspace that {@link placeDataSets} prepared. */
export function testDataMap(session: () => Session): void {
  beforeAll(async () => {
    // Until the extension is known, its menus are not there.
    await session().workbench.extensionKnown();
  });

  const dataMap = async (): Promise<Frame> =>
    session().workbench.webview('.gallery .card[data-index]');
  const indices = async (frame: Frame): Promise<number[]> =>
    frame
      .locator('.card')
      .evaluateAll((cards) => cards.map((card) => Number(card.getAttribute('data-index'))));

  it('opens after scoring a dataset through the menu', async () => {
    const { workbench, workspace } = session();
    await workbench.explorerMenu(['strokes'], 'Score Dataset…');
    await workbench.quickPick('mlp').click();
    await workbench.quickPick('EL2N').click();
    await workbench.quickPick('Other values…').click();
    await workbench.answer('Runs, each', '3');
    await workbench.answer('Epochs before', '12');
    const frame = await dataMap();
    await frame.getByRole('heading', { name: 'strokes', level: 1 }).waitFor();
    const facts = await frame.locator('.facts').first().textContent();
    expect(facts).toMatch(/Examples40Classes2Proxy modelmlpScored atepoch 12Runs3/);
    expect(facts).toMatch(/Agreement of runsSpearman 0\.\d+Scoring took/);
    // The two that are wrong are the hardest.
    await expect.poll(async () => (await indices(frame)).slice(0, 2).sort()).toEqual([18, 19]);
    await frame.getByRole('img', { name: 'Picture of example 19: horizontal' }).waitFor();
    // An experiment that something else writes is found when the map is read again.
    const { dataset } = JSON.parse(
      await readFile(join(workspace, 'strokes.scores.json'), 'utf8'),
    ) as { dataset: { fingerprint: string } };
    await writeFile(
      join(workspace, 'strokes.datadiet.json'),
      JSON.stringify(makeExperiment(dataset.fingerprint)),
    );
    await frame.getByRole('button', { name: 'Reload' }).click();
    await frame.getByRole('img', { name: /Line chart of strokes\.datadiet\.json/ }).waitFor();
    await workbench.screenshot('datamap-scored');
  });

  it('filters by class, orders, and turns pages', async () => {
    const { workbench } = session();
    const frame = await dataMap();
    await frame.getByText('1–24 of 40 examples').waitFor();
    await frame.getByRole('button', { name: 'Next' }).click();
    await frame.getByText('25–40 of 40 examples').waitFor();
    await frame.getByRole('combobox', { name: 'Class' }).click();
    await frame.getByRole('option', { name: 'vertical', exact: true }).click();
    await frame.getByText('1–20 of 20 examples').waitFor();
    expect(Math.min(...(await indices(frame)))).toBe(20);
    await frame.getByRole('combobox', { name: 'Order' }).click();
    await frame.getByRole('option', { name: 'As stored' }).click();
    await expect.poll(async () => (await indices(frame))[0]).toBe(20);
    await frame.getByRole('combobox', { name: 'Class' }).click();
    await frame.getByRole('option', { name: 'Every class' }).click();
    await frame.getByRole('combobox', { name: 'Order' }).click();
    await frame.getByRole('option', { name: 'Most variable first' }).click();
    await expect.poll(async () => (await indices(frame))[0]).not.toBe(0);
    expect(await indices(frame)).not.toContain(19);
    await frame.getByRole('combobox', { name: 'Order' }).click();
    await frame.getByRole('option', { name: 'Hardest first' }).click();
    await expect.poll(async () => (await indices(frame))[0]).toBe(19);
    await workbench.page.keyboard.press('Escape');
  });

  it('opens the example of a map point, by mouse and by keyboard', async () => {
    const { workbench } = session();
    const { page } = workbench;
    const frame = await dataMap();
    const map = frame.getByRole('application', { name: /Map of confidence and variability/ });
    const found = frame.locator('.card[data-found]');
    // The lowest point is the example that is labelled wrong; it is on the page that is shown.
    const place = await map.evaluate(lowestPoint);
    await map.click({ position: place });
    await frame.getByText('Example 19 is number 1 of 40').waitFor();
    expect(await found.getAttribute('data-index')).toBe('19');
    expect(await found.getAttribute('aria-current')).toBe('true');
    await expect.poll(async () => isFocused(found)).toBe(true);
    await workbench.screenshot('datamap-found');
    // Escape goes back to where the keyboard walks from: the next point above is another example.
    await until(
      async () => page.keyboard.press('Escape'),
      async () => isFocused(map),
    );
    await page.keyboard.press('ArrowUp');
    const visited = frame.getByText(/Example \d+: .*, confidence [\d.]+, variability [\d.]+/);
    const visitedIndex = async () => /\d+/.exec((await visited.textContent()) ?? '')?.[0];
    await expect.poll(visitedIndex).not.toBe('19');
    const index = await visitedIndex();
    // Filters that hide the example are cleared, with a message.
    await frame.getByRole('checkbox', { name: 'Marked', exact: true }).click();
    await frame.getByText('No example matches the filters.').waitFor();
    await map.press('Enter');
    await frame.getByText(/filters were cleared to show it/).waitFor();
    expect(await found.getAttribute('data-index')).toBe(index);
    expect(
      await frame
        .getByRole('checkbox', { name: 'Marked', exact: true })
        .getAttribute('aria-checked'),
    ).toBe('false');
    await expect
      .poll(async () => found.evaluate((card) => card === document.activeElement))
      .toBe(true);
    expect(await accessibilityViolations(frame)).toEqual([]);
    await frame.evaluate(() => {
      window.scrollTo(0, 0);
    });
    await workbench.page.mouse.move(0, 0);
  });

  it('shows the embedding, the neighborhood of a point, and similar examples', async () => {
    const { workbench } = session();
    const { page } = workbench;
    const frame = await dataMap();
    await frame.getByRole('combobox', { name: 'Map' }).click();
    await frame.getByRole('option', { name: 'Embedding' }).click();
    const map = frame.getByRole('application', { name: /Map of the embedding: horizontal: 20/ });
    // A key that comes before the points are drawn is lost.
    const toNext = async (): Promise<boolean> => {
      await map.press('ArrowRight');
      return frame.getByText(/^Example \d+: (horizontal|vertical)$/).isVisible();
    };
    await expect.poll(toNext, { interval: 500 }).toBe(true);
    await map.press('Shift+Enter');
    const chip = frame.getByRole('button', { name: 'Remove the filter “Part of the map”' });
    await chip.waitFor();
    await expect.poll(async () => (await indices(frame)).length).toBeLessThan(24);
    await chip.click();
    await frame.getByText('1–24 of 40 examples').waitFor();
    await frame.evaluate(() => {
      window.scrollTo(0, 0);
    });
    await workbench.screenshot('datamap-embedding');
    await frame.locator('.card[data-index="19"] .details-button').press('Enter');
    const dialog = frame.getByRole('dialog', { name: 'Example 19' });
    await dialog.getByText('horizontal/19.png').waitFor();
    expect(await accessibilityViolations(frame)).toEqual([]);
    await workbench.screenshot('datamap-details');
    await dialog.getByRole('button', { name: 'Show Similar' }).click();
    await frame.getByRole('button', { name: /Remove the filter “Most similar to/ }).waitFor();
    await expect.poll(async () => (await indices(frame))[0]).toBe(19);
    const focused = async (): Promise<string | null | undefined> =>
      frame.evaluate(() => document.activeElement?.closest('.card')?.getAttribute('data-index'));
    await expect.poll(focused).toBe('19');
    await frame.getByRole('button', { name: /Remove the filter “Most similar to/ }).press('Enter');
    await expect.poll(async () => (await indices(frame)).slice(0, 2).sort()).toEqual([18, 19]);
    // Names of files are searched.
    await frame.getByRole('textbox', { name: 'Search the content' }).fill('vertical/07');
    await frame.getByText('1 example', { exact: true }).waitFor();
    await page.keyboard.press('Control+A');
    await page.keyboard.press('Delete');
    await frame.getByText('1–24 of 40 examples').waitFor();
  });

  it('changes labels by keyboard, and writes them into a copy', async () => {
    const { workbench, workspace } = session();
    const { page } = workbench;
    const frame = await dataMap();
    const labels = frame.getByRole('combobox', { name: 'New label of example 19, horizontal' });
    await labels.focus();
    await page.keyboard.press('v');
    await frame.getByText('New labels: 1', { exact: true }).waitFor();
    expect(await frame.locator('.card[data-relabeled]').count()).toBe(1);
    await frame.getByRole('button', { name: 'Export Subset…' }).click();
    await workbench.quickPick('A copy of the whole dataset with the new labels').click();
    await workbench.accept('The dataset is not changed.');
    await workbench.notification(/Exported 40 examples to strokes-relabeled/).waitFor();
    const names = async (folder: string): Promise<string[]> =>
      readdir(join(workspace, folder, 'vertical'));
    expect(await names('strokes-relabeled')).toContain('19-2.png');
    expect(await names('strokes')).not.toContain('19-2.png');
    await frame.getByRole('button', { name: 'Undo New Labels' }).click();
    await frame.getByText('New labels: 1', { exact: true }).waitFor({ state: 'detached' });
  });

  it('marks with the keyboard, and leaves the marked out of the subset', async () => {
    const { page } = session().workbench;
    const frame = await dataMap();
    for (const index of [18, 19]) {
      await frame.locator(`.card[data-index="${index}"] .mark-button[aria-pressed]`).focus();
      await page.keyboard.press('Space');
      await frame.locator(`.card[data-index="${index}"] [aria-pressed="true"]`).waitFor();
    }
    await frame.getByText('2 marked').waitFor();
    await frame.getByText('19 of 40 examples are kept (47.5 %).').waitFor();
    await frame.getByRole('checkbox', { name: 'Marked', exact: true }).click();
    await frame.getByText('1–2 of 2 examples').waitFor();
    const slider = frame.getByRole('slider', { name: 'Share kept' });
    await slider.focus();
    for (let press = 0; press < 10; press++) await page.keyboard.press('ArrowLeft');
    await frame.getByText('15 of 40 examples are kept (37.5 %).').waitFor();
  });

  it.each(Object.keys(THEMES) as (keyof typeof THEMES)[])('is accessible: %s', async (theme) => {
    const { workbench } = session();
    await session().setTheme(theme);
    const frame = await dataMap();
    expect(await accessibilityViolations(frame)).toEqual([]);
    await workbench.screenshot(`datamap-${theme}`);
    await frame.locator('#gallery-title').evaluate((element) => {
      element.scrollIntoView();
    });
    await workbench.screenshot(`datamap-${theme}-gallery`);
    await frame.locator('#subset-title').evaluate((element) => {
      element.scrollIntoView();
    });
    await workbench.screenshot(`datamap-${theme}-subset`);
    await frame.evaluate(() => {
      window.scrollTo(0, 0);
    });
  });

  it('fits into 600 pixels', async () => {
    const { workbench } = session();
    const { page } = workbench;
    const size = page.viewportSize() ?? { width: 1440, height: 900 };
    await page.setViewportSize({ ...size, width: 950 });
    const frame = await dataMap();
    for (const part of ['h1', '#gallery-title', '#subset-title', '#experiment-title']) {
      await frame.locator(part).evaluate((element) => {
        element.scrollIntoView();
      });
      await workbench.screenshot(`datamap-narrow-${part.replace('#', '')}`);
    }
    const [width, over] = await frame.evaluate(() => [
      window.innerWidth,
      document.documentElement.scrollWidth - window.innerWidth,
    ]);
    expect(width).toBeLessThanOrEqual(620);
    expect(over).toBeLessThanOrEqual(0);
    await page.setViewportSize(size);
  });

  it('restores marks, filters and the kept share after a reload', async () => {
    const { workbench } = session();
    await session().setTheme('dark');
    await workbench.storageWritten();
    await workbench.reload();
    const frame = await dataMap();
    await frame.getByText('1–2 of 2 examples').waitFor();
    await frame.getByText('15 of 40 examples are kept (37.5 %).').waitFor();
    await frame.getByRole('checkbox', { name: 'Marked', exact: true }).click();
    await frame.getByText('1–24 of 40 examples').waitFor();
  });

  it('exports the subset as an image folder plus its indices', async () => {
    const { workbench, workspace } = session();
    const frame = await dataMap();
    await frame.getByRole('button', { name: 'Export Subset…' }).click();
    await workbench.quickPick('The chosen subset, as a dataset').click();
    await workbench.accept('The dataset is not changed.');
    await workbench.notification(/Exported 15 examples to strokes-subset/).waitFor();
    const subset = join(workspace, 'strokes-subset');
    const names = (await readdir(subset, { recursive: true })).filter((name) =>
      name.endsWith('.png'),
    );
    expect(names).toHaveLength(15);
    expect(names).not.toContain(join('horizontal', '18.png'));
    const { indices: kept } = JSON.parse(await readFile(`${subset}.selection.json`, 'utf8')) as {
      indices: number[];
    };
    expect(kept).toHaveLength(15);
    await workbench.screenshot('datamap-exported');
  });

  it('compares subsets with random ones and the full dataset if nothing was compared yet', async () => {
    const { workbench, workspace } = session();
    const frame = await dataMap();
    const file = join(workspace, 'strokes.datadiet.json');
    await rm(file);
    await frame.getByRole('button', { name: 'Reload' }).click();
    await frame.getByText('No experiment with this dataset yet.').waitFor();
    await frame.getByRole('button', { name: 'Compare Subsets…' }).click();
    await workbench.quickPick('mlp').click();
    await workbench.quickPick('Selection in the map: 40\u00a0% by policy max').click();
    await frame
      .getByRole('img', {
        name: 'Line chart of strokes.datadiet.json: all examples, random, el2n@12 max.',
      })
      .waitFor();
    const numbers = frame.locator('details', { hasText: 'Values of the experiment' });
    await numbers.locator('summary').click();
    expect(await numbers.locator('tbody th').allTextContents()).toEqual([
      'all examples',
      'random',
      'el2n@12 max',
    ]);
    await numbers.scrollIntoViewIfNeeded();
    await workbench.screenshot('datamap-compared');
    expect(await accessibilityViolations(frame)).toEqual([]);
    expect((await readdir(workspace)).filter((name) => name.includes('datadiet'))).toEqual([
      'strokes.datadiet.json',
    ]);
  });

  it('cancels an export in the panel and by command, which leaves nothing', async () => {
    const { workbench, workspace } = session();
    const outside = dirname(workspace);
    await workbench.explorer.open('many.scores.json');
    const frame = await dataMap();
    await frame.getByRole('heading', { name: 'many', level: 1 }).waitFor();
    const start = async (): Promise<void> => {
      await frame.getByRole('button', { name: 'Export Subset…' }).click();
      await workbench.quickPick('The chosen subset, as a dataset').click();
      await workbench.answer('The dataset is not changed.', join(outside, 'many-subset'));
      await frame.getByText(/\d+ of 2,000 examples ·/).waitFor();
    };
    await frame.getByRole('slider', { name: 'Share kept' }).press('End');
    await frame.getByText('2,000 of 2,000 examples are kept (100 %).').waitFor();
    await start();
    await frame.getByRole('button', { name: 'Cancel' }).click();
    await frame.getByText('The export was canceled.').first().waitFor();
    await workbench.screenshot('datamap-cancelled');
    expect(await accessibilityViolations(frame)).toEqual([]);
    const left = async (): Promise<string[]> =>
      (await readdir(outside)).filter((name) => name.includes('many'));
    expect(await left()).toEqual(['many']);
    await start();
    await workbench.statusBarItem('Exporting from many').waitFor();
    await workbench.runCommand('Espalier: Cancel Job');
    await frame.getByText('The export was canceled.').first().waitFor();
    await workbench.statusBarItem('Exporting from many').waitFor({ state: 'detached' });
    expect(await left()).toEqual(['many']);
  });
}

const strokes = join(root, 'test', 'fixtures', 'datasets', 'strokes');

/**
 * A dataset next to the workspace, whose file watcher would report each picture, and its scores in it. With
 * {@link slowCopies}, exporting it takes longer than a test may.
 */
async function writeMany(workspace: string): Promise<void> {
  const pictures = join(strokes, 'horizontal');
  const [picture = ''] = await readdir(pictures);
  const many = join(dirname(workspace), 'many');
  const count = 2000;
  for (const label of ['a', 'b']) await mkdir(join(many, label), { recursive: true });
  // One file by many names: copies would take ten times as long to make.
  const names = Array.from({ length: count }, (_, i) =>
    join(many, i % 2 === 0 ? 'a' : 'b', `${i}.png`),
  );
  const [first = '', ...others] = names;
  await cp(join(pictures, picture), first);
  await Promise.all(others.map(async (name) => link(first, name)));
  const { fingerprint } = await openDataset(many, {});
  const scores = Array.from({ length: count }, (_, i) => i / count);
  await writeScoreDocument(join(workspace, 'many.scores.json'), {
    ...bareScores('el2n', scores),
    dataset: { path: many, name: 'many', fingerprint },
  });
}

/** Position of the lowest point of a map: the pointer tells when it is over one. */
function lowestPoint(canvas: Element): { x: number; y: number } {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  for (let y = height - 1; y > 0; y -= 4) {
    for (let x = 0; x < width; x += 4) {
      canvas.dispatchEvent(new MouseEvent('mousemove', { clientX: left + x, clientY: top + y }));
      if (canvas.classList.contains('over-point')) return { x, y };
    }
  }
  throw new Error('the map has no point');
}

/** A result of `espalier data-diet`, shortened. */
function makeExperiment(fingerprint: string): object {
  const row = (choice: string, policy: string | undefined, keep: number, mean: number): object => ({
    choice,
    policy,
    keep,
    examples: 40 * keep,
    mean,
    deviation: 0.01,
  });
  return {
    format: 'espalier.datadiet',
    dataset: { name: 'strokes', fingerprint, examples: 40 },
    request: { iso: 'steps', seeds: 3 },
    rows: [
      row('full', undefined, 1, 0.97),
      row('random', 'random', 0.2, 0.82),
      row('random', 'random', 0.5, 0.91),
      row('el2n@3', 'max', 0.2, 0.74),
      row('el2n@3', 'max', 0.5, 0.95),
    ],
  };
}
