import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../../scripts/lib/repository.mjs';
import { accessibilityViolations } from './support/accessibility';
import { Heatmap } from './support/heatmap';
import { holdJobs, THEMES } from './support/session';
import { useSession } from './support/use-session';

const removed = 'block.1.feedforward';

describe('repair and patching', () => {
  const session = useSession({
    sample: join(root, 'test', 'fixtures', 'models', 'llama-gqa-untied'),
    preloads: [holdJobs],
    settings: { 'espalier.device': 'cpu', 'espalier.calibration.length': 16 },
  });
  const workspacePath = (...path: string[]) => join(session().workspace, ...path);
  const nameFolder = async (name: string): Promise<void> => {
    const { workbench } = session();
    await workbench.answer('The original is not changed.', workspacePath(name));
  };

  it('compresses a model and then repairs it', async () => {
    const { workbench } = session();
    await workbench.explorerMenu(['sample'], 'Espalier', 'More', 'Compress Model…');
    await workbench.quickPick('Low rank').click();
    await workbench.quickPick('40 %').click();
    await workbench.quickPick('All linear layers').click();
    await workbench.quickPick('Hugging Face folder with a modeling file').click();
    await nameFolder('smaller');
    const done = workbench.notification(/smaller takes .* instead of .* Verified: /);
    await done.waitFor();
    const report = await workbench.report('smaller');
    await report.getByRole('button', { name: 'Repair…' }).click();
    await workbench.quickPick('The bundled text').click();
    await workbench.quickPick('Thorough').waitFor();
    await workbench.screenshot('repair-effort');
    await workbench.quickPick('Thorough').click();
    await session().holdJobs(1);
    await nameFolder('repaired');
    await workbench.statusBarItem(/Repairing smaller/).waitFor();
    await workbench.screenshot('repair-running');
  });

  it('offers to go on when the window was closed on it, and repairs to the end', async () => {
    const { workbench } = session();
    await workbench.storageWritten();
    await workbench.statusBarItem(/Repairing smaller/).waitFor();
    const lines = async () =>
      (await session().savedWork('.repaired.espalier-repair', 'journal.jsonl')).split('\n').length;
    await expect.poll(lines).toBeGreaterThan(2);
    expect(
      (await readdir(session().workspace)).filter((name) => /journal|\.espalier-/.test(name)),
    ).toEqual([]);
    await workbench.reload();
    const offer = workbench.notification(
      /Repairing smaller: The window was closed while the job ran/,
    );
    await offer.waitFor();
    await workbench.screenshot('repair-offered');
    await session().releaseJobs();
    await offer.getByRole('button', { name: 'Resume' }).click();
    const done = workbench.notification(/repaired: the distance to the original .* fell from/);
    await done.waitFor({ timeout: 150_000 });
    const [, before, after] = /from ([\d.]+) to ([\d.]+)/.exec(await done.innerText()) ?? [];
    expect(Number(after)).toBeLessThan(Number(before));
    const report = await workbench.webview('td:has-text("as repaired")');
    expect(await report.locator('tbody tr').count()).toBe(8);
    await workbench.screenshot('repair-done');
    expect((await stat(workspacePath('repaired', 'model.safetensors'))).size).toBeGreaterThan(0);
    await report.getByRole('button', { name: 'Evaluate Both' }).click();
    await workbench.notification(/repaired: perplexity .* sample: /).waitFor();
  });

  it('patches a cell that is marked for removal, from its menu', async () => {
    const { workbench } = session();
    await session().changeSettings({ 'espalier.calibration.length': 4 });
    await workbench.explorerMenu(['sample'], 'Espalier', 'More', 'Open Layer Heatmap');
    const heatmap = await Heatmap.find(workbench);
    const cell = heatmap.cell(removed);
    await cell.click();
    await heatmap.removed.waitFor();
    await cell.click({ button: 'right' });
    const entry = workbench.menuItem('Patch Removed Layer…');
    await entry.waitFor();
    await workbench.screenshot('patch-menu');
    await entry.hover();
    await entry.click({ delay: 300 });
    await workbench.quickPick('The bundled text').click();
    await workbench.quickPick('Always').waitFor();
    await workbench.screenshot('patch-anyway');
    await workbench.quickPick('Always').click();
    await workbench.quickPick('Hugging Face folder with a modeling file').click();
    await session().holdJobs(1);
    await nameFolder('patched');
    await heatmap.job.getByText(/Fitting/).waitFor();
    await workbench.screenshot('patch-running');
    await session().releaseJobs();
    const done = workbench.notification(/Wrote patched\. Verified: .* The patch is/);
    await done.waitFor({ timeout: 400_000 });
    await workbench.screenshot('patch-done');
    const report = await workbench.webview('th:has-text("Nothing (skip)")');
    for (const name of ['Graph module', 'Nothing (skip)', 'Bottleneck MLP']) {
      await report.getByText(name).first().waitFor();
    }
    await report.getByRole('button', { name: 'Layer Heatmap' }).click();
    // Its frame is a new one, as the report covered it.
    await (await Heatmap.find(workbench)).cell(removed).waitFor();
    // It shares the CPU with suites that run at the same time.
  }, 480_000);

  it.each(Object.keys(THEMES) as (keyof typeof THEMES)[])(
    'shows the patch in its cell: %s',
    async (theme) => {
      const { workbench } = session();
      await session().setTheme(theme);
      const heatmap = await Heatmap.find(workbench);
      const cell = heatmap.cell(removed);
      await cell.locator('svg').waitFor();
      expect(await cell.getAttribute('title')).toMatch(/^Graph module: \(/);
      expect(await cell.getAttribute('aria-label')).toMatch(
        /removed, number 1, .*planned graph module, a graph of \d+ nodes and \d+ edges?$/,
      );
      await cell.hover();
      const details = heatmap.frame.locator('.details');
      await details.locator('svg.graph circle.node').first().waitFor();
      const program = await details.locator('code').textContent();
      expect(await cell.getAttribute('title')).toBe(`Graph module: ${program ?? ''}`);
      expect(await accessibilityViolations(heatmap.frame)).toEqual([]);
      await workbench.screenshot(`patch-${theme}`);
    },
  );

  it('opens the patched model and shows the patch in its cell', async () => {
    const { workbench } = session();
    await session().setTheme('dark');
    await workbench.explorerMenu(['patched'], 'Espalier', 'More', 'Open Layer Heatmap');
    await workbench.tab('Layer Heatmap: patched').waitFor();
    const heatmap = await Heatmap.find(workbench, 'patched');
    const cell = heatmap.cell(removed);
    await cell.locator('svg').waitFor();
    expect(await cell.getAttribute('aria-label')).toMatch(/^Graph module, block 1: kept/);
    await workbench.screenshot('patch-opened');
  });
});
