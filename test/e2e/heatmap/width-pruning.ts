import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Plan } from '../../../extension/core/plans/plan';
import { accessibilityViolations } from '../support/accessibility';
import { Heatmap } from '../support/heatmap';
import { THEMES } from '../support/session';
import type { Session } from '../support/session';

const widths = [
  { sublayer: 'block.1.feedforward', remove: '0-79' },
  { sublayer: 'block.2.attention', remove: '1' },
];
const plan: Plan = {
  ...{ format: 'espalier.plan', version: 1, model: { path: 'sample' } },
  ...{ remove: ['block.5.attention'], widths },
};

/** Files of the workspace other than the sample model. */
export async function placePlan(workspace: string): Promise<void> {
  await writeFile(join(workspace, 'widthPruned.plan.json'), JSON.stringify(plan, null, 2));
}

/** Tests in the session of a workspace that {@link placePlan} prepared, in which the sample has no profile. */
export function testNarrowing(session: () => Session): void {
  const heatmap = async () => Heatmap.find(session().workbench, 'sample');
  const widthPruned = (panel: Heatmap) =>
    panel.frame.locator('[role="gridcell"][data-width-pruned]');

  it('shows the pruned widths of a plan in the heatmap', async () => {
    const { workbench } = session();
    await workbench.extensionKnown();
    await workbench.explorer.open('widthPruned.plan.json');
    const lenses = workbench.page.locator('.codelens-decoration');
    await lenses.filter({ hasText: 'Prunes the width of 2 sublayers' }).waitFor();
    await workbench.explorerMenu(['widthPruned.plan.json'], 'Espalier', 'Open Layer Heatmap');
    const panel = await heatmap();
    await widthPruned(panel).nth(1).waitFor();
    expect(await panel.cell('block.1.feedforward').getAttribute('aria-label')).toMatch(
      /width 240 of 320 channels \(75\.0\s%\)/,
    );
    expect(await panel.cell('block.2.attention').getAttribute('aria-label')).toMatch(
      /width 1 of 2 key\/value heads \(50\.0\s%\)/,
    );
    const bar = panel.cell('block.1.feedforward').locator('.fill');
    expect(
      await bar.evaluate((fill) => getComputedStyle(fill, '::before').backgroundImage),
    ).toMatch(/linear-gradient\(to right, .* 75%, .* 75%\)/);
    const row = panel.rows.filter({ hasText: '240 of 320 channels' });
    expect(await row.getByText('240 of 320 channels').isVisible()).toBe(true);
    expect(await panel.tile('Sublayers with pruned width').textContent()).toContain('2of 24');
    // An attention with its norm, a quarter of three matrices, and a half of four.
    const [hidden, inner, heads, groups, size] = [192, 320, 6, 2, 32];
    const attention = 2 * hidden * (heads + groups) * size;
    const saved = attention + hidden + (3 * hidden * inner) / 4 + attention / 2;
    const parameters = await panel.tile('Parameters saved').locator('.tile-value').textContent();
    expect(parameters?.split(/\s/)).toEqual([String(Math.round(saved / 1000)), 'K']);
    // Keys and values of one attention, and half of those of another, of twelve.
    expect(await panel.tile('KV cache saved').textContent()).toMatch(/12\.5\s%/);
    expect(await panel.tile('Memory saved').textContent()).toMatch(/with 512 tokens/);
    expect(await panel.frame.locator('.diff .added').allTextContents()).toContainEqual(
      expect.stringContaining('"block.1.feedforward": 240'),
    );
  });

  it.each(Object.keys(THEMES) as (keyof typeof THEMES)[])(
    'distinguishes width-pruned cells and is accessible: %s',
    async (theme) => {
      const { workbench } = session();
      await session().setTheme(theme);
      const panel = await heatmap();
      await panel.frame.locator(`body[data-vscode-theme-kind]`).waitFor();
      await panel.cell('block.1.feedforward').hover();
      expect(await accessibilityViolations(panel.frame)).toEqual([]);
      await workbench.screenshot(`heatmap-widthPruned-${theme}`);
      await panel.frame.locator('.candidates').scrollIntoViewIfNeeded();
      await workbench.screenshot(`heatmap-widthPruned-${theme}-below`);
      await panel.frame.evaluate(() => {
        window.scrollTo(0, 0);
      });
    },
  );

  it('writes the model shown in the panel', async () => {
    const { workbench, workspace } = session();
    await (await heatmap()).button('Prune…').click();
    await workbench.quickPick('Hugging Face folder with a modeling file').click();
    await workbench.acceptValue(join(workspace, 'sample-pruned'));
    await workbench
      .notification(/sample-pruned is \d+(?:\.\d+)?\s% smaller than sample\. Verified: /)
      .waitFor();
    const text = await readFile(join(workspace, 'sample-pruned', 'config.json'), 'utf8');
    expect((JSON.parse(text) as { espalier: object }).espalier).toMatchObject({
      removed: ['block.5.attention'],
      widths: { 'block.1.feedforward': 240, 'block.2.attention': 1 },
    });
  });

  it('drops the widths of removed sublayers and restores them when a sublayer is kept', async () => {
    const { workbench, workspace } = session();
    await workbench.tab('Layer Heatmap: sample').first().click();
    const panel = await heatmap();
    const cell = panel.cell('block.2.attention');
    for (const [mark, count] of [
      ['removed', 1],
      ['protected', 2],
    ] as const) {
      await cell.click();
      await panel.frame.locator(`[data-id="block.2.attention"][data-mark="${mark}"]`).waitFor();
      await expect.poll(async () => widthPruned(panel).count()).toBe(count);
    }
    await panel.button('Save Plan').click();
    await workbench.tab('sample.plan.json').waitFor();
    const saved = JSON.parse(await readFile(join(workspace, 'sample.plan.json'), 'utf8')) as Plan;
    expect(saved).toMatchObject({ remove: ['block.5.attention'], widths });
    await panel.button('Keep Full Widths').click();
    await expect.poll(async () => widthPruned(panel).count()).toBe(0);
    expect(await panel.rows.filter({ hasText: 'channels' }).count()).toBe(0);
  });
}
