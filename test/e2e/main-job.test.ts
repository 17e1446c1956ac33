import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import type { Locator } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { LayerProfile } from '../../extension/core/prune/layer-profile';
import { smallLossRounds } from '../../extension/services/sessions/selection';
import { accessibilityViolations } from './support/accessibility';
import { Heatmap } from './support/heatmap';
import { holdJobs } from './support/session';
import { isFocused, until } from './support/until';
import { useSession } from './support/use-session';

const SUBLAYERS = 24;
/** A quarter of the sublayers: the search's budget. */
const ROUNDS = 6;
/**
 * Returns the number of lines in a journal once some sublayers are measured on all sequences, and not all are: the
 * sublayers of a sequence take 30, in six groups.
 */
const partialRoundLines = (sequences: number): number => 30 * (sequences - 1) + 6;

describe('from a model folder to a smaller model', () => {
  const session = useSession({
    preloads: [holdJobs],
    settings: {
      'espalier.device': 'cpu',
      'espalier.calibration.length': 32,
      'espalier.calibration.sequences': 4,
      'espalier.search.mode': 'exact',
    },
  });
  const heatmap = async () => Heatmap.find(session().workbench);
  const workspacePath = (...path: string[]) => join(session().workspace, ...path);
  const readProfile = async () =>
    JSON.parse(await readFile(workspacePath('sample.layerprofile.json'), 'utf8')) as LayerProfile;
  const confirmProfileAgain = async () => {
    const { workbench } = session();
    await workbench.dialog().getByRole('button', { name: 'Profile Again' }).click();
    // On slow machines, if it takes over a minute, it asks how thorough to be.
    const standard = workbench.quickPick('Standard');
    const running = workbench.statusBarItem(/Profiling sample/);
    await running.or(standard).filter({ visible: true }).first().waitFor();
    if (await standard.isVisible()) {
      await standard.click();
    }
  };
  const profileAgain = async () => {
    await (await heatmap()).button('Profile').click();
    await confirmProfileAgain();
  };
  /** The view in the side bar. */
  const jobs = () => {
    const { page } = session().workbench;
    const header = page.getByRole('button', { name: 'Jobs Section' });
    const rows = page.locator('.pane', { has: header }).locator('.monaco-list-row');
    const row = (label: RegExp): Locator => page.getByRole('treeitem', { name: label }).first();
    return { rows, row };
  };
  /** The result of the undisturbed search. */
  let whole: Pick<LayerProfile, 'rounds' | 'candidates' | 'baselines'>;
  const comparable = ({ rounds, candidates, baselines }: LayerProfile) => ({
    rounds,
    candidates,
    baselines,
  });

  it('shows the available actions above config.json', async () => {
    const { workbench } = session();
    await workbench.explorer.open('sample', 'config.json');
    const lenses = workbench.page.locator('.codelens-decoration');
    await lenses.filter({ hasText: '12 blocks · 24 sublayers' }).waitFor();
    for (const action of ['Open heatmap', 'Profile']) {
      expect(await lenses.getByText(action, { exact: true }).isVisible()).toBe(true);
    }
    await workbench.screenshot('config-code-lens');
  });

  it('fills in the heatmap next to the file while the profile runs', async () => {
    const { workbench } = session();
    await session().holdJobs(partialRoundLines(4));
    await workbench.explorerMenu(['sample'], 'Espalier', 'Profile Layers');
    const panel = await heatmap();
    const counts = await panel.partlyMeasured();
    expect(counts.measured + counts.pending).toBe(SUBLAYERS);
    expect(await panel.job.textContent()).toMatch(/\d+ of [\d,]+ .*\d\s%/);
    await workbench.statusBarItem(/Profiling sample/).waitFor();
    await workbench.screenshot('profile-running');
    const tabs = workbench.page.locator('.editor-group-container .tab');
    expect(await tabs.allTextContents()).toEqual(['config.json', 'Layer Heatmap: sample']);
    expect(await workbench.page.locator('.editor-group-container').count()).toBe(2);
    await session().releaseJobs();
  });

  it('shows every distance, the order of removal, the curve and the baselines', async () => {
    const panel = await heatmap();
    await panel.finished();
    expect(await panel.cells('measured').count()).toBe(SUBLAYERS);
    expect(await panel.rows.count()).toBe(SUBLAYERS);
    for (const label of await panel
      .cells()
      .evaluateAll((cells) => cells.map((cell) => cell.getAttribute('aria-label')))) {
      expect(label).toMatch(/distance [\d.]+.*, rank \d+ of 24/);
    }
    const profile = await readProfile();
    const resting = smallLossRounds(profile);
    await expect.poll(async () => panel.slider.inputValue()).toBe(String(resting));
    await expect.poll(async () => panel.removed.count()).toBe(resting);
    await panel.slider.press('End');
    await expect.poll(() => panel.removed.count()).toBe(ROUNDS);
    const chart = panel.frame.getByRole('img', { name: /^Line chart of the distance/ });
    expect((await chart.boundingBox())?.height).toBeGreaterThan(100);
    for (const series of ['Greedy search', 'One-shot', 'Reverse order', 'Random']) {
      expect(await panel.button(series).isVisible()).toBe(true);
    }
    expect(profile.rounds).toHaveLength(ROUNDS);
    expect(await panel.distance()).toBeCloseTo(profile.rounds.at(-1)?.distance ?? 0, 4);
    whole = comparable(profile);
    await session().workbench.screenshot('profile-finished');
  });

  it('walks the rounds with the slider, by keyboard', async () => {
    const panel = await heatmap();
    await panel.slider.focus();
    const { page } = session().workbench;
    for (const rounds of [5, 4, 3]) {
      await page.keyboard.press('ArrowLeft');
      await expect.poll(() => panel.removed.count()).toBe(rounds);
    }
    expect(await panel.tile('Sublayers removed').textContent()).toContain('3of 24');
    const third = whole.rounds[2];
    expect(await panel.distance()).toBeCloseTo(third?.distance ?? 0, 4);
    const order = panel.cell(third?.removed ?? '').locator('.badge');
    expect(await order.getAttribute('data-order')).toBe('3');
    expect(await panel.frame.locator('.diff .line.added, .diff .line.removed').count()).not.toBe(0);
  });

  it('cycles the mark of a cell at a click', async () => {
    const panel = await heatmap();
    const cell = panel.cell('block.0.attention');
    for (const mark of ['removed', 'protected', 'keep']) {
      await until(
        async () => cell.click(),
        async () => (await cell.getAttribute('data-mark')) === mark,
      );
      if (mark === 'removed') {
        const distance = panel.tile('Distance');
        await expect
          .poll(async () => distance.textContent())
          .toMatch(/≈ 0\.\d+.*expected, not measured/);
      }
    }
    expect(await panel.slider.inputValue()).toBe('3');
  });

  it('keeps a mark when the slider moves, and undoes choices with Ctrl+Z', async () => {
    const panel = await heatmap();
    const { page } = session().workbench;
    const cell = panel.cell('block.0.attention');
    await cell.click();
    await expect.poll(() => panel.removed.count()).toBe(4);
    await panel.slider.press('ArrowLeft');
    await expect.poll(() => panel.removed.count()).toBe(3);
    expect(await cell.getAttribute('data-mark')).toBe('removed');
    await panel.frame.getByText('2 of 6, 1 by hand').waitFor();
    for (const count of [4, 3]) {
      await page.keyboard.press('Control+z');
      await expect.poll(() => panel.removed.count()).toBe(count);
    }
    expect(await cell.getAttribute('data-mark')).toBe('keep');
    expect(await panel.slider.inputValue()).toBe('3');
  });

  it('moves and marks by keyboard in the grid', async () => {
    const panel = await heatmap();
    const { page } = session().workbench;
    const focused = panel.cell('block.1.feedforward');
    await until(
      async () => {
        await panel.cell('block.0.attention').focus();
        await page.keyboard.press('ArrowDown');
        await page.keyboard.press('ArrowRight');
      },
      async () => isFocused(focused),
    );
    await panel.frame.locator('.details', { hasText: 'block.1.feedforward' }).waitFor();
    for (const [key, mark] of [
      ['Enter', 'removed'],
      ['Enter', 'keep'],
      ['p', 'protected'],
    ] as const) {
      await until(
        async () => page.keyboard.press(key),
        async () => (await focused.getAttribute('data-mark')) === mark,
      );
    }
  });

  it('restores its selection after a reload of the window', async () => {
    const { workbench } = session();
    await workbench.storageWritten();
    await workbench.reload();
    const panel = await heatmap();
    await expect.poll(() => panel.removed.count()).toBe(3);
    expect(await panel.cells('measured').count()).toBe(SUBLAYERS);
    expect(await panel.cell('block.1.feedforward').getAttribute('data-mark')).toBe('protected');
    expect(await panel.slider.inputValue()).toBe('3');
    await panel.cell('block.1.feedforward').click();
    await expect
      .poll(() => panel.cell('block.1.feedforward').getAttribute('data-mark'))
      .toBe('keep');
  });

  it('measures perplexity of the selection', async () => {
    const panel = await heatmap();
    await panel.button('Measure').click();
    const perplexity = panel.tile('Perplexity');
    await perplexity.getByText(/original [\d.]+, [+−]/).waitFor();
    const value = Number(await perplexity.locator('.tile-value').textContent());
    expect(value).toBeGreaterThan(1);
    await panel.button('Perplexity (held-out)').waitFor();
  });

  it('shows the drift of the selection from the original', async () => {
    const { workbench } = session();
    const panel = await heatmap();
    await panel.button('Show Drift').click();
    const legend = panel.frame.getByText('Drift of hidden states from the original');
    await legend.waitFor();
    const drifted = panel.frame.locator('[role="gridcell"][aria-label*="Drift:"]');
    expect(await drifted.count()).toBe(whole.candidates.length);
    await workbench.screenshot('heatmap-drift');
    await session().setTheme('highContrast');
    await workbench.screenshot('heatmap-drift-high-contrast');
    await session().setTheme('light');
    await panel.frame.getByRole('combobox', { name: 'Colors' }).click();
    await panel.frame.getByRole('option', { name: 'Importance' }).click();
    await legend.waitFor({ state: 'hidden' });
  });

  it('saves a plan that can be edited by hand', async () => {
    const { workbench } = session();
    await (await heatmap()).button('Save Plan').click();
    await workbench.tab('sample.plan.json').waitFor();
    const plan = JSON.parse(await readFile(workspacePath('sample.plan.json'), 'utf8')) as {
      remove: string[];
    };
    expect(plan.remove).toEqual(whole.rounds.slice(0, 3).map(({ removed }) => removed));
    await workbench.page
      .locator('.codelens-decoration')
      .filter({ hasText: 'Removes 3 of 24 sublayers' })
      .waitFor();
  });

  it('writes a smaller model into a new folder', async () => {
    const { workbench } = session();
    await (await heatmap()).button('Prune…').click();
    const label = 'Hugging Face folder with a modeling file';
    await workbench.quickPick(label).waitFor();
    await workbench.screenshot('prune-forms');
    await workbench.quickPick('More formats…').click();
    // A form that cannot express the selection says why, and cannot be chosen.
    await workbench.page
      .locator('.quick-input-list .monaco-list-row')
      .filter({ hasText: 'parts of blocks (3 sublayers)' })
      .click();
    await workbench.notification(/parts of blocks \(3 sublayers\)/).waitFor();
    await workbench.quickPick(label).click();
    await workbench.acceptValue(workspacePath('sample-pruned'));
    const message = workbench.notification(
      /sample-pruned is \d+\s% smaller than sample\. Verified: it opens and runs/,
    );
    await message.waitFor();
    await workbench.screenshot('pruned');
    const report = await workbench.report('sample-pruned');
    expect(await report.locator('main').innerText()).toMatch(/Perplexity[^]*Top-1 agreement/i);
    for (const name of ['Try It', 'Reveal', 'Make Smaller…', 'Evaluate Both']) {
      await report.getByRole('button', { name }).waitFor();
    }
    expect(await accessibilityViolations(report)).toEqual([]);
    await report.getByRole('button', { name: 'Layer Heatmap' }).click();
    await workbench.tab('Layer Heatmap: sample-pruned').waitFor();
    const config = JSON.parse(
      await readFile(workspacePath('sample-pruned', 'config.json'), 'utf8'),
    ) as { espalier: { removed: string[] } };
    expect(config.espalier.removed).toHaveLength(3);
    expect(existsSync(workspacePath('sample-pruned', 'espalier.json'))).toBe(true);
    const weights = (folder: string) => workspacePath(folder, 'model.safetensors');
    const [before, after] = [await stat(weights('sample')), await stat(weights('sample-pruned'))];
    expect(after.size).toBeLessThan(before.size);
    await workbench.explorer.focus('sample-pruned');
    const tab = workbench.tab('Layer Heatmap: sample-pruned');
    await until(
      async () => {
        await tab.click();
        await workbench.runCommand('View: Close Editor');
      },
      async () => tab.isHidden(),
    );
  });

  it('writes an ONNX model from the plan, by the explorer', async () => {
    const { workbench } = session();
    await workbench.explorerMenu(['sample.plan.json'], 'Espalier', 'Prune Layers…');
    await workbench.quickPick('ONNX model').click();
    await workbench.acceptValue(workspacePath('sample-pruned-onnx'));
    await workbench.notification(/sample-pruned-onnx is .* Verified: it opens and runs/).waitFor();
    expect(existsSync(workspacePath('sample-pruned-onnx', 'model.onnx'))).toBe(true);
  });

  it('cancels, and resumes to the same result', async () => {
    const { workbench } = session();
    await workbench.tab('Layer Heatmap: sample').click();
    await session().holdJobs(partialRoundLines(4));
    await profileAgain();
    const panel = await heatmap();
    await panel.partlyMeasured();
    await panel.button('Cancel').click();
    await panel.job.getByText('Canceling…').waitFor();
    await session().releaseJobs();
    await panel.job.getByText('Profiling was canceled.').waitFor();
    expect(await panel.job.textContent()).toMatch(/Saved: \d+ of 24 sublayers\./);
    await workbench.screenshot('profile-cancelled');
    await panel.button('Resume').click();
    await panel.finished();
    expect(comparable(await readProfile())).toEqual(whole);
  });

  it('reports a killed worker, and resumes to the same result', async () => {
    const { workbench } = session();
    await session().holdJobs(partialRoundLines(4));
    await profileAgain();
    const panel = await heatmap();
    await panel.partlyMeasured();
    // For the next test: a search that goes on keeps the settings it was started with.
    await session().changeSettings({ 'espalier.calibration.sequences': 16 });
    process.kill(await session().workerPid(), 'SIGKILL');
    await panel.job.getByText('Profiling stopped.').waitFor();
    expect(await panel.job.textContent()).toContain('SIGKILL');
    await workbench.screenshot('worker-killed');
    await session().releaseJobs();
    await panel.button('Resume').click();
    await panel.finished();
    expect(comparable(await readProfile())).toEqual(whole);
  });

  it('continues from the measured values after a reload in the middle', async () => {
    const { workbench } = session();
    await session().holdJobs(partialRoundLines(16));
    await profileAgain();
    const panel = await heatmap();
    await panel.frame.getByText(/^16 × 32 tokens/).waitFor({ state: 'attached' });
    await panel.partlyMeasured();
    await workbench.reload();
    const restored = await heatmap();
    await restored.job.getByText('The window was closed while the job ran.').waitFor();
    await workbench.screenshot('reloaded-while-profiling');
    await restored.button('Resume').click();
    await restored.button('Cancel').waitFor();
    await restored.partlyMeasured();
    // Until the search tells how far it is, the row changes its height, and a button moves from under the pointer.
    await restored.job.getByText(/ of [\d,]+ steps/).waitFor();
    await until(
      async () => restored.button('Cancel').click(),
      async () => restored.job.getByText('Canceling…').isVisible(),
    );
    await session().releaseJobs();
    await restored.job.getByText('Profiling was canceled.').waitFor();
  });

  it('opens the result of a job that ended before the reload', async () => {
    const { workbench } = session();
    const { row } = jobs();
    // Its heatmap may have come back with the window, but not on top.
    await workbench.tab('Layer Heatmap: sample').click();
    await workbench.showSideBar('Espalier');
    const pruned = row(/^Pruning sample, done, sample-pruned is \d+\s% smaller/);
    await pruned.scrollIntoViewIfNeeded();
    await pruned.click({ button: 'right' });
    await workbench.menuItem('Open Result').click({ delay: 300 });
    const name = 'Report: sample-pruned';
    await workbench.page.getByRole('tab', { name, selected: true }).waitFor();
    await workbench.screenshot('open-result');
  });

  it('continues a prompt with the pruned model and the original', async () => {
    const { workbench } = session();
    const report = await workbench.report('sample-pruned');
    await report.getByRole('button', { name: 'Try It' }).click();
    const playground = await workbench.webview('textarea.prompt');
    await playground.getByRole('heading', { name: 'sample · sample-pruned' }).waitFor();
    await playground.getByRole('textbox', { name: 'Prompt' }).fill('The old man went');
    await playground.getByRole('textbox', { name: 'Max tokens' }).fill('16');
    await playground.getByRole('button', { name: 'Generate' }).click();
    const texts = playground.getByRole('listbox');
    await expect.poll(async () => texts.count()).toBe(2);
    for (const text of await texts.all()) {
      await expect.poll(async () => text.getByRole('option').count()).toBe(16);
    }
    // Probabilities are listed below a token; the most likely one was chosen.
    await texts.first().getByRole('option').first().focus();
    const taken = await texts.first().getByRole('option').first().textContent();
    const likeliest = playground.locator('.chances').first().locator('tbody td').first();
    expect((await likeliest.textContent())?.trim()).toBe(taken?.trim());
    await playground
      .getByText(/^(They first differ at token \d+\.|Both models generated the same text\.)$/)
      .waitFor();
    for (const theme of ['light', 'highContrast', 'highContrastLight', 'dark'] as const) {
      await session().setTheme(theme);
      expect(await accessibilityViolations(playground), theme).toEqual([]);
      await workbench.screenshot(`playground-${theme}`);
    }
  });

  it('lists jobs in the side bar, and queues, cancels and opens them there', async () => {
    const { workbench } = session();
    const { page } = workbench;
    const journal = async () => session().savedWork('sample.layerprofile.journal.jsonl');
    const [before] = (await journal()).split('\n');
    await session().changeSettings({ 'espalier.calibration.sequences': 60 });
    await session().holdJobs(partialRoundLines(2));
    await workbench.showSideBar('Explorer');
    await workbench.explorerMenu(['sample'], 'Espalier', 'Profile Layers');
    await confirmProfileAgain();
    // The journal of the job before is replaced by that of this one.
    const saved = async () => {
      const [header, ...lines] = (await journal()).split('\n');
      return header === before ? 0 : lines.length;
    };
    await expect.poll(saved).toBeGreaterThan(1);
    const { rows, row } = jobs();
    await workbench.explorerMenu(['sample-pruned'], 'Espalier', 'Evaluate Model…');
    await workbench.quickPick('Text').click();
    await workbench.showSideBar('Espalier');
    await row(/^Profiling sample, running, .*%/).waitFor();
    await row(/^Evaluating sample-pruned, queued, 1 ahead/).waitFor();
    await workbench.statusBarItem(/Profiling sample.* · 1 queued/).waitFor();
    await workbench.screenshot('jobs-view');
    await row(/^Profiling sample, running/).hover();
    await rows.getByRole('button', { name: 'Cancel Job' }).first().click();
    await session().releaseJobs();
    await row(/^Profiling sample, canceled · .*[Ss]aved/).waitFor();
    // The waiting job runs now, and its result is reported and saved.
    const result = /perplexity [\d.]+ on .* tokens per second/;
    await workbench.notification(result).waitFor();
    const evaluated = row(/^Evaluating sample-pruned, done, perplexity/);
    const actions = page.locator('.quick-input-title', { hasText: 'Evaluating sample-pruned' });
    // Rows move as jobs end, so that a click may open the actions of another job.
    await until(
      async () => {
        await page.keyboard.press('Escape');
        await evaluated.click();
      },
      async () => actions.isVisible(),
    );
    await workbench.quickPick('Run Again').waitFor();
    await workbench.screenshot('job-actions');
    await workbench.quickPick('Copy as Command Line').click();
    await expect
      .poll(async () => workbench.pastedText())
      .toMatch(/^espalier evaluate .*sample-pruned/);
    await workbench.runCommand('Espalier: Resume Job…');
    await workbench.quickPick('Profiling sample').waitFor();
    await workbench.screenshot('resume-job');
    await page.keyboard.press('Escape');
    await workbench.runCommand('Espalier: Discard Job…');
    await workbench.quickPick('Profiling sample').click();
    await workbench.dialog().getByRole('button', { name: 'Discard' }).click();
    await row(/^Profiling sample, canceled · .*[Ss]aved/).waitFor({ state: 'detached' });
  });
});
