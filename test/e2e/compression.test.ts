import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Frame } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { Plan } from '../../extension/core/plans/plan';
import type { SensitivityProfile } from '../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { root } from '../../scripts/lib/repository.mjs';
import { accessibilityViolations } from './support/accessibility';
import { holdJobs, THEMES } from './support/session';
import { isFocused, until } from './support/until';
import { useSession } from './support/use-session';

/** Seven matrices in each of four blocks, the embedding and the head. */
const LAYERS = 28;
const MATRICES = LAYERS + 2;

describe('the compression panel', () => {
  const session = useSession({
    sample: join(root, 'test', 'fixtures', 'models', 'llama-gqa-untied'),
    preloads: [holdJobs],
    settings: {
      'espalier.device': 'cpu',
      'espalier.calibration.sequences': 2,
      'espalier.calibration.length': 64,
      'espalier.patterns': true,
    },
  });
  const workspacePath = (...path: string[]) => join(session().workspace, ...path);
  const panel = async (): Promise<Frame> =>
    session().workbench.webview('#budget-title, #empty-title');
  const colors = async (frame: Frame): Promise<string[]> =>
    frame
      .locator('.cell[data-id] .fill')
      .evaluateAll((fills) => fills.map((fill) => getComputedStyle(fill).backgroundColor));
  const choose = async (frame: Frame, dropdown: string, option: string): Promise<void> => {
    await frame.getByRole('combobox', { name: dropdown }).click();
    await frame.getByRole('option', { name: option }).click();
  };
  const readTable = async () =>
    JSON.parse(
      await readFile(workspacePath('sample.sensitivity.json'), 'utf8'),
    ) as SensitivityProfile;

  it('opens empty and explains the first step', async () => {
    const { workbench } = session();
    await workbench.explorerMenu(['sample'], 'Espalier', 'More', 'Compress Model…');
    await workbench.quickPick('Under a budget…').click();
    const frame = await panel();
    await frame.getByText('Measure the layers to see which can be compressed').waitFor();
    expect(await accessibilityViolations(frame)).toEqual([]);
    await workbench.screenshot('compression-empty');
  });

  it('fills in while the layers are measured', async () => {
    const { workbench } = session();
    const frame = await panel();
    await session().holdJobs(MATRICES);
    await frame.getByRole('button', { name: 'Measure…' }).first().click();
    await workbench.quickPick('Choose methods…').click();
    for (const method of ['int8', 'Low rank']) await workbench.quickPick(method).click();
    const places = workbench.quickPick('Also embedding and head');
    await until(
      async () => workbench.page.keyboard.press('Enter'),
      async () => places.isVisible(),
    );
    await places.click();
    await frame.locator('.cell[data-id][data-status="pending"]').first().waitFor();
    await frame.locator('.cell[data-id][data-status="measured"]').first().waitFor();
    await workbench.statusBarItem(/Measuring compression of sample/).waitFor();
    await workbench.screenshot('compression-running');
    await session().releaseJobs();
    // Then the answer comes first, and the layers are folded.
    await frame
      .locator('.prediction')
      .getByText('Predicted distance')
      .waitFor({ timeout: 150_000 });
    await frame.locator('.cell[data-id]').first().waitFor({ state: 'detached' });
    await frame.getByText('Details', { exact: true }).click();
    await frame.getByText(/^sample\.sensitivity\.json$/).waitFor({ state: 'attached' });
    const measured = frame.locator('.cell[data-id][data-status="measured"]');
    await expect.poll(async () => measured.count()).toBe(MATRICES);
    const { layers, embeddingAndHead, fitting } = await readTable();
    expect(layers.map(({ entries }) => entries.length)).toEqual(Array(LAYERS).fill(7));
    expect(embeddingAndHead?.map(({ entries }) => entries.length)).toEqual([2, 2]);
    // The default number, which is more than 16 for each of the 64 inputs of the widest layer.
    expect(fitting?.tokens).toBe(2560);
    await frame.getByText('40 × 64 other tokens').waitFor({ state: 'attached' });
  });

  it('shows the embedding in front of the blocks, and reaches it by the keyboard', async () => {
    const { workbench } = session();
    const frame = await panel();
    const embedding = frame.getByRole('gridcell', { name: /^Embedding: int8/ });
    await until(
      async () => {
        await frame.locator('.cell[data-id]').first().focus();
        await workbench.page.keyboard.press('ArrowUp');
      },
      async () => isFocused(embedding),
    );
    await frame.locator('.details').getByText('model.embed_tokens.weight').waitFor();
  });

  it('shows methods and settings by color, and the numbers of a cell', async () => {
    const { workbench } = session();
    const frame = await panel();
    await choose(frame, 'Method', 'Low rank');
    const slider = frame.getByRole('slider', { name: 'Remaining bytes of a layer' });
    await slider.press('Home');
    const strong = await colors(frame);
    const least = Number.parseFloat((await slider.getAttribute('aria-valuetext'))?.slice(6) ?? '');
    await slider.press('End');
    const most = Number.parseFloat((await slider.getAttribute('aria-valuetext'))?.slice(6) ?? '');
    expect(most).toBeGreaterThan(least);
    expect(await colors(frame)).not.toEqual(strong);
    await frame.locator('body[data-patterns] .fill[data-band]').first().waitFor();
    const { layers } = await readTable();
    const down = layers.find(({ role, block }) => role === 'down' && block === 2);
    const cell = frame.locator(`.cell[data-id="${down?.tensor ?? ''}"]`);
    await cell.hover();
    const details = frame.locator('.details');
    await details.getByText(down?.tensor ?? '').waitFor();
    expect(await details.textContent()).toMatch(/Shape48 × 64Settingrank \d+Distance/);
    await cell.focus();
    await workbench.page.keyboard.press('ArrowRight');
    await details.getByText((down?.tensor ?? '').replace('.2.', '.3.')).waitFor();
    // The table is of what the grid shows, the worst first; its end is drawn when it is looked at.
    const table = frame.getByRole('region', { name: 'Linear layers' }).locator('tbody tr');
    await table.last().scrollIntoViewIfNeeded();
    await expect.poll(async () => table.count()).toBe(MATRICES);
    const losses = await table
      .locator('td:nth-child(5)')
      .evaluateAll((cells) => cells.map((one) => Number(one.textContent)));
    // No low rank is measured of embedding and head.
    expect(losses.splice(LAYERS)).toEqual([Number.NaN, Number.NaN]);
    expect(losses).toEqual([...losses].sort((a, b) => b - a));
  });

  it('shows the result of the paper next to that of this model', async () => {
    const frame = await panel();
    await frame.getByText('The paper and this model').click();
    const findings = frame.getByRole('table', { name: 'Statements of the paper' });
    expect(await findings.locator('tbody tr').count()).toBe(2);
    expect(await findings.textContent()).toMatch(/(Holds|Not) here/);
  });

  it('charts the task scores of plans of all sizes', async () => {
    const { workbench } = session();
    const frame = await panel();
    const task = workspacePath('few.jsonl');
    const row = { context: 'The', choices: [' dog', ' zzz'], answer: 0 };
    await writeFile(task, `${JSON.stringify(row)}\n`.repeat(3));
    await frame.getByText('Plans of all sizes').click();
    await frame.getByRole('button', { name: 'Measure Task Scores…' }).click();
    await workbench.chooseFile('Task: a JSONL file', task);
    await frame.getByText('Score on few').first().waitFor();
    await frame.getByText(/The original scores \d/).waitFor();
    await workbench.screenshot('compression-scored');
  });

  it('plans under a budget and shows the plan on the grid', async () => {
    const { workbench } = session();
    const frame = await panel();
    const predicted = frame.locator('.prediction').getByText('Predicted distance');
    await predicted.waitFor();
    await frame.getByRole('img', { name: /^Distance against size of Best plan: \d/ }).waitFor();
    const rule = frame.getByRole('slider', { name: 'Target size' });
    await rule.press('ArrowRight');
    await expect.poll(async () => rule.getAttribute('aria-valuetext')).toMatch(/^51\s% /);
    // One control for the size.
    expect(await frame.getByRole('slider', { name: 'Size', exact: true }).count()).toBe(0);
    const front = frame.getByRole('table', { name: 'Plans of all sizes' }).locator('tbody tr');
    await front.nth(2).getByRole('button', { name: 'Use' }).click();
    await frame.locator('.made-plan').getByText('Predicted distance').waitFor();
    const percent = async () =>
      Number.parseFloat((await rule.getAttribute('aria-valuetext')) ?? '');
    for (let at = await percent(); at !== 70; at = await percent()) {
      await rule.press(at < 70 ? 'ArrowRight' : 'ArrowLeft');
    }
    // The plan at 70 % is another one: it is predicted again.
    await predicted.waitFor();
    await frame.getByRole('button', { name: 'Measure Plan…' }).click();
    await workbench.dialog().getByText('measurements are saved').waitFor();
    await workbench.dialog().getByRole('button', { name: 'Measure', exact: true }).click();
    const made = frame.getByRole('heading', { name: 'Plan for 70 % of the size' });
    await made.waitFor();
    const tile = async (name: string) => {
      const tiles = frame.locator('.tile', { has: frame.getByText(name, { exact: true }) });
      return (await tiles.locator('.tile-value').textContent()) ?? '';
    };
    expect(Number.parseFloat(await tile('Remaining'))).toBeLessThanOrEqual(70);
    expect(await tile('Measured distance')).toMatch(/^\d(\.\d+)?(e-\d+)?$/);
    const compressed = Number.parseFloat(await tile('Layers compressed'));
    const cells = (status: string) => frame.locator(`.cell[data-id][data-status="${status}"]`);
    await expect.poll(async () => cells('measured').count()).toBe(compressed);
    await expect.poll(async () => cells('kept').count()).toBe(MATRICES - compressed);
    await workbench.screenshot('compression-planned');
    await frame.getByRole('button', { name: 'Save Plan' }).click();
    await workbench.tab('sample.plan.json').waitFor();
    const plan = JSON.parse(await readFile(workspacePath('sample.plan.json'), 'utf8')) as Plan;
    expect(plan.compress).toHaveLength(compressed);
    const lenses = workbench.page.locator('.codelens-decoration');
    await lenses.filter({ hasText: `Compresses ${compressed} layers` }).waitFor();
    // Lenses are redrawn while their file is read, and a click between the two is lost.
    const shown = workbench.page.getByRole('tab', { name: /^Compression: /, selected: true });
    const lens = lenses.getByText('Open compression panel', { exact: true });
    const opened = async () => {
      await lens.click({ timeout: 2000 }).catch(() => undefined);
      return shown.isVisible();
    };
    await expect.poll(opened, { interval: 1000 }).toBe(true);
    await (await panel()).getByRole('heading', { name: 'sample', level: 1 }).waitFor();
  });

  it.each(Object.keys(THEMES) as (keyof typeof THEMES)[])('is accessible: %s', async (theme) => {
    const { workbench } = session();
    await session().setTheme(theme);
    const frame = await panel();
    await frame.evaluate(() => {
      window.scrollTo(0, 0);
    });
    await choose(frame, 'Method', 'Low rank');
    await workbench.page.mouse.move(0, 0);
    expect(await accessibilityViolations(frame)).toEqual([]);
    await workbench.screenshot(`compression-${theme}`);
    await frame.locator('.findings').scrollIntoViewIfNeeded();
    await workbench.screenshot(`compression-${theme}-below`);
    await choose(frame, 'Method', 'The plan');
    expect(await accessibilityViolations(frame)).toEqual([]);
  });

  it('restores its table and its plan after a reload', async () => {
    const { workbench } = session();
    await session().setTheme('dark');
    await workbench.storageWritten();
    await workbench.reload();
    const frame = await panel();
    await frame.getByRole('heading', { name: 'Plan for 70 % of the size' }).waitFor();
    await frame.locator('.cell[data-id][data-status="kept"]').first().waitFor();
  });

  it('writes the model that the plan describes', async () => {
    const { workbench } = session();
    const frame = await panel();
    await frame.locator('.made-plan').getByRole('button', { name: 'Apply Plan…' }).click();
    await workbench.quickPick('Hugging Face folder with a modeling file').click();
    await workbench.answer('The original is not changed.', workspacePath('smaller'));
    const done = workbench.notification(/smaller takes .* instead of .* Verified: /);
    await done.waitFor();
    const before = await stat(workspacePath('sample', 'model.safetensors'));
    const after = await stat(workspacePath('smaller', 'model.safetensors'));
    // 70 % of the tensors' bytes; the header of so small a file counts.
    expect(after.size / before.size).toBeLessThan(0.72);
    const report = await workbench.report('smaller');
    await report.getByRole('button', { name: 'Compare' }).click();
    await workbench.webview('.comparison');
    await workbench.screenshot('compression-compared');
  });

  it('converts the model to a GGUF file, rounded by an importance matrix that it measures first', async () => {
    const { workbench } = session();
    await workbench.explorerMenu(['sample'], 'Espalier', 'More', 'Convert Model…');
    await workbench.quickPick('GGUF').click();
    await workbench.screenshot('convert-types');
    await workbench.quickPick('Q4_K_M').click();
    await workbench.quickPick('Measure importance first').click();
    await workbench.inputBox('The original is not changed.').waitFor();
    await workbench.page.keyboard.press('Enter');
    const done = workbench.notification(/sample-Q4_K_M takes .* instead of .* Verified: /);
    await done.waitFor();
    await workbench.screenshot('convert-done');
    const [written] = (await readdir(workspacePath('sample-Q4_K_M'))).filter((name) =>
      name.endsWith('.gguf'),
    );
    const { size } = await stat(workspacePath('sample-Q4_K_M', written ?? ''));
    // Vocabulary and settings are in the file, too.
    expect(size).toBeLessThan((await stat(workspacePath('sample', 'model.safetensors'))).size);
    expect((await stat(workspacePath('sample.imatrix.gguf'))).size).toBeGreaterThan(0);
  });

  it('is shown in the Models view next to its model', async () => {
    const { workbench } = session();
    const { page } = workbench;
    await workbench.showSideBar('Espalier');
    const header = page.getByRole('button', { name: 'Models Section' });
    const rows = page.locator('.pane', { has: header }).locator('.monaco-list-row');
    await rows.filter({ hasText: 'llama' }).first().locator('.monaco-tl-twistie').click();
    await rows.filter({ hasText: 'Compression sensitivity' }).click();
    await (await panel()).getByRole('heading', { name: 'sample', level: 1 }).waitFor();
  });
});
