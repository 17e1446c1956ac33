import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { accessibilityViolations } from './support/accessibility';
import { Heatmap } from './support/heatmap';
import { useSession } from './support/use-session';

describe('the packaged extension in a fresh editor', () => {
  const session = useSession({
    settings: {
      'espalier.calibration.length': 64,
      'espalier.calibration.sequences': 1,
      'espalier.search.mode': 'one-shot',
      'espalier.search.baselines': false,
    },
  });

  it('offers its commands in the palette', async () => {
    // The list shows what fits, so each is asked for by name; a moment after the start it knows them.
    for (const command of ['Inspect Model', 'Profile Layers', 'Show Devices', 'Show Log']) {
      const title = `Espalier: ${command}`;
      const titles = () => session().workbench.commandTitles(title);
      await expect.poll(titles, { interval: 500 }).toContain(title);
    }
  });

  it('offers to profile a model folder in the explorer', async () => {
    const { workbench } = session();
    await workbench.explorerMenu(['sample'], 'Espalier');
    await workbench.menuItem('Profile Layers').waitFor();
    await workbench.screenshot('explorer-menu');
    await workbench.closeMenus();
  });

  it('lists the devices of this machine through its worker', async () => {
    const { workbench } = session();
    await workbench.runCommand('Espalier: Show Devices');
    const report = await workbench.webview('table');
    const cpu = report.getByRole('row').filter({ hasText: 'cpu' }).first();
    expect(await cpu.textContent()).toContain('✓');
    await workbench.screenshot('devices');
  });

  it('opens an accessible heatmap', async () => {
    const { workbench } = session();
    await workbench.explorerMenu(['sample'], 'Espalier', 'More', 'Open Layer Heatmap');
    const heatmap = await workbench.webview('[role="grid"]');
    expect(await accessibilityViolations(heatmap)).toEqual([]);
    await workbench.screenshot('heatmap');
  });

  it('copies the sample model into the workspace and profiles it', async () => {
    const { workbench } = session();
    await workbench.runCommand('Espalier: Try the Sample Model');
    const heatmap = await Heatmap.find(workbench, 'espalier-sample');
    await heatmap.cells('measured').nth(23).waitFor();
    await workbench.showSideBar('Espalier');
    const result = { name: 'espalier-sample, Layer profile' };
    await workbench.page.getByRole('treeitem', result).waitFor();
    await workbench.screenshot('side-bar');
  });

  it('ticks the steps of the walkthrough that are done', async () => {
    const { workbench } = session();
    const { page } = workbench;
    await workbench.runCommand('Welcome: Open Walkthrough...');
    await workbench.typePick('Make a Model Smaller');
    const ticked = (step: string) =>
      page
        .locator('.getting-started-step', { hasText: step })
        .getByRole('checkbox')
        .getAttribute('aria-checked');
    expect(await ticked('Prune and check')).toBe('false');
    await workbench.tab('Layer Heatmap: espalier-sample').click();
    const heatmap = await Heatmap.find(workbench, 'espalier-sample');
    await heatmap.cell('block.5.attention').click();
    await heatmap.button('Prune…').click();
    await workbench.quickInput().waitFor();
    await page.keyboard.press('Escape');
    await workbench.tab('Welcome').click();
    await expect.poll(() => ticked('Choose what to remove')).toBe('true');
    // To be asked is not to be done.
    expect(await ticked('Prune and check')).toBe('false');
    await workbench.tab('Layer Heatmap: espalier-sample').click();
    await (await Heatmap.find(workbench, 'espalier-sample')).button('Prune…').click();
    await workbench.quickPick('Hugging Face folder with a modeling file').click();
    const out = join(session().workspace, 'walked');
    await workbench.answer('The original is not changed.', out);
    await expect.poll(() => existsSync(join(out, 'config.json'))).toBe(true);
    // The report opens over the walkthrough.
    await workbench.tab('Report: walked').waitFor();
    await workbench.tab('Welcome').click();
    await expect.poll(() => ticked('Prune and check')).toBe('true');
    expect(await ticked('Recover the quality')).toBe('false');
  });

  it('speaks the language of the editor', async () => {
    const { workbench } = session();
    const { page } = workbench;
    await workbench.speak('zh-cn');
    // Without an editor it asks which of two models.
    await workbench.runCommand('View: Close All Editors');
    const title = 'Espalier: 打开演练场';
    const titles = () => workbench.commandTitles(title);
    await expect.poll(titles, { interval: 500 }).toContain(title);
    await workbench.runCommand(title);
    await page.locator('.quick-input-title', { hasText: '打开演练场' }).waitFor();
    await workbench.quickPick('espalier-sample').click();
    const playground = await workbench.webview('textarea.prompt');
    await playground.getByRole('button', { name: '生成' }).waitFor();
  });

  it('talks to no other machine', () => {
    expect(session().strangers()).toEqual([]);
    const own = ['extensionHostProcess', 'worker.js', 'inspector.js', 'probe.js'];
    expect([...session().watched]).toEqual(expect.arrayContaining(own));
  });
});
