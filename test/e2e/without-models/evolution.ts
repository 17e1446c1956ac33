import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Frame } from 'playwright-core';
import { beforeAll, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { parseGssnnDocument } from '../../../extension/core/symbolic/evolution/gssnn-document';
import type { EvolutionSettings } from '../../../extension/core/symbolic/evolution/gssnn-document';
import { synthesize } from '../../../extension/core/symbolic/evolution/synthesize';
import { accessibilityViolations } from '../support/accessibility';
import { THEMES } from '../support/session';
import type { Session } from '../support/session';
import { isFocused, until } from '../support/until';

/** Small, but with inventions and with graphs of several edges. */
const settings: EvolutionSettings = {
  ...{ iterations: 3, population: 8, keep: 4, seed: 3, programLimit: 3_000_000 },
  ...{ size: 'small', mode: 'clean', epochs: 3, legacyWeights: false, baselines: 2 },
  data: { mode: 'faithful', seed: 3, train: 32, validation: 30, test: 30 },
};

/** The log of an evolution. */
export async function placeEvolution(workspace: string): Promise<void> {
  const out = join(workspace, 'evolved');
  await synthesize({ settings, out, pictures: 0, version: '1' }, unattended);
}

/** Tests in the session of a workspace that {@link placeEvolution} prepared. */
export function testEvolution(session: () => Session): void {
  beforeAll(async () => {
    await session().workbench.extensionKnown();
  });

  const panel = async (): Promise<Frame> => session().workbench.webview('.population .module');
  const selected = async (frame: Frame): Promise<string> =>
    (await frame.locator('.module[aria-selected="true"]').getAttribute('aria-label')) ?? '';

  it('opens the log as drawn graphs with their programs', async () => {
    const { workbench, workspace } = session();
    const path = ['evolved', 'synthesis.gssnn.json'] as const;
    await workbench.explorer.open(...path);
    const frame = await panel();
    const file = join(workspace, ...path);
    const { iterations, best } = parseGssnnDocument(await readFile(file, 'utf8'), file);
    const latest = iterations.at(-1)?.models ?? [];
    expect(latest.length).toBeGreaterThan(4);
    const cards = frame.locator('.population .module');
    await frame.getByText(`${latest.length} graphs in iteration 3`).waitFor();
    expect(await cards.count()).toBe(latest.length);
    const circles = await cards.evaluateAll((all) =>
      all.map((card) => card.querySelectorAll('circle.node').length),
    );
    expect(circles.sort()).toEqual(latest.map(({ graph }) => graph.size).sort());
    const ports = await cards.evaluateAll((all) =>
      all.map((card) => card.querySelectorAll('text.port').length),
    );
    expect(ports.sort()).toEqual(latest.map(({ graph }) => graph.edges.length / 2).sort());
    const programs = await cards.locator('code').allTextContents();
    expect(programs.sort()).toEqual(latest.map(({ program }) => program).sort());
    // The best member is selected first, and its program is shown.
    await frame.getByRole('heading', { name: best.name, level: 3 }).waitFor();
    await frame.locator('.chosen code', { hasText: best.program }).first().waitFor();
    const library = frame.getByRole('table', { name: 'Inventions' });
    const learned = iterations.flatMap((iteration) => iteration.learned.map(({ name }) => name));
    expect(await library.locator('tbody th').allTextContents()).toEqual(learned);
    expect(learned.length).toBeGreaterThan(0);
    expect(await accessibilityViolations(frame)).toEqual([]);
  });

  it('browses populations and graphs by keyboard and by the chart', async () => {
    const { page } = session().workbench;
    const frame = await panel();
    await frame.getByRole('combobox', { name: 'Order' }).click();
    await frame.getByRole('option', { name: 'Lightest first' }).click();
    const first = frame.locator('.population .module').first();
    await first.click();
    const before = await selected(frame);
    expect(before).toMatch(/^K2, test [\d.]+\s%, validation [\d.]+\s%, mass \d+/);
    await until(
      async () => page.keyboard.press('ArrowRight'),
      async () => (await selected(frame)) !== before,
    );
    const last = frame.locator('.population .module').last();
    await until(
      async () => page.keyboard.press('End'),
      async () => (await last.getAttribute('aria-selected')) === 'true' && (await isFocused(last)),
    );
    const name = (await selected(frame)).split(', test')[0] ?? '';
    await frame.getByRole('heading', { name, level: 3, exact: true }).waitFor();
    const chart = frame.getByRole('application', { name: /Test accuracies of every graph/ });
    await chart.focus();
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    const visited = frame.getByText(/^Iteration \d, .+: test [\d.]+\s%$/);
    const [, iteration = ''] = /Iteration (\d)/.exec((await visited.textContent()) ?? '') ?? [];
    await page.keyboard.press('Enter');
    await frame.getByText(new RegExp(`^\\d+ graphs? in iteration ${iteration}$`)).waitFor();
    await frame.locator('.module[aria-selected="true"]').waitFor();
  });

  it('copies the program', async () => {
    const { workbench } = session();
    const frame = await panel();
    const program = await frame.locator('.chosen code').first().textContent();
    await frame.getByRole('button', { name: 'Copy Program' }).click();
    await frame.getByText('Copied.').waitFor({ state: 'attached' });
    await expect.poll(async () => workbench.pastedText()).toBe(program);
  });

  it.each(Object.keys(THEMES) as (keyof typeof THEMES)[])('is accessible: %s', async (theme) => {
    const { workbench } = session();
    await session().setTheme(theme);
    const frame = await panel();
    expect(await accessibilityViolations(frame)).toEqual([]);
    // A text in the color of its ground is none for axe.
    const colors = await frame
      .locator('.chosen .program')
      .first()
      .evaluate((program) => {
        const { color, backgroundColor } = getComputedStyle(program);
        return [color, backgroundColor];
      });
    expect(new Set([...colors, 'rgba(0, 0, 0, 0)']).size).toBe(3);
    for (const [name, selector] of [
      ['top', 'main'],
      ['population', '#population-title'],
      ['library', '#library-title'],
    ] as const) {
      await frame.locator(selector).evaluate((element) => {
        element.scrollIntoView();
      });
      await workbench.screenshot(`symbolic-${theme}-${name}`);
    }
  });

  it('restores the selection after a reload', async () => {
    const { workbench } = session();
    await session().setTheme('dark');
    const frame = await panel();
    const before = await selected(frame);
    await workbench.storageWritten();
    await workbench.reload();
    const again = await panel();
    const order = again.getByRole('combobox', { name: 'Order' });
    await expect
      .poll(async () => order.evaluate((element) => Reflect.get(element, 'value') as unknown))
      .toBe('mass');
    await again.locator('.module[aria-selected="true"]').waitFor();
    expect(await selected(again)).toBe(before);
  });

  it('shows a running evolution, stops it, and resumes it', async () => {
    const { workbench } = session();
    // After the first of three baselines. The others are trained meanwhile, and their stage stays.
    await session().holdJobs(1);
    await workbench.runCommand('Espalier: Synthesize Modules…');
    await workbench.quickPick('Balanced').click();
    await workbench.quickPick('Other values…').click();
    await workbench.answer('Iterations', '1');
    await workbench.answer('Maximum graphs per population', '2');
    await workbench.accept('New folder');
    const frame = await workbench.webview('section:not([hidden]) > #waiting-title');
    await frame.getByRole('heading', { name: 'synthesis', level: 1 }).waitFor();
    await frame.getByText(/Training the baseline, run [23] of 3/).waitFor();
    await workbench.screenshot('symbolic-waiting');
    expect(await accessibilityViolations(frame)).toEqual([]);
    await frame.getByRole('button', { name: 'Cancel' }).click();
    await frame.getByText('Canceling…').first().waitFor();
    await session().releaseJobs();
    await frame.getByText('The evolution was canceled.').first().waitFor();
    await frame.getByRole('button', { name: 'Resume' }).click();
    await frame.locator('.population .module').first().waitFor();
    await frame.getByRole('button', { name: 'Open as Text' }).waitFor();
    await frame.getByText('2 graphs in iteration 1').waitFor();
    await workbench.screenshot('symbolic-done');
    expect(await accessibilityViolations(frame)).toEqual([]);
  });
}
