import { execFile } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { it } from 'vitest';
import { root } from '../../scripts/lib/repository.mjs';
import { Heatmap } from './support/heatmap';
import { useSession } from './support/use-session';

// The pictures of media/readme/: npm run package && npm run pictures
const media = join(root, 'media', 'readme');
/** Distance in pixels by which the border between config.json and the heatmap is dragged left. */
const widened = 250;

const session = useSession({
  settings: { 'espalier.device': 'cpu' },
  // In the panel a slow machine would ask first how thoroughly.
  prepare: async (workspace) => {
    const profile = [join(root, 'dist', 'cli.js'), 'profile', join(workspace, 'sample')];
    await promisify(execFile)(process.execPath, profile);
  },
});

it('the heatmap of the sample model, pruned by a quarter', async () => {
  const { workbench } = session();
  const { page } = workbench;
  await workbench.explorer.open('sample', 'config.json');
  await workbench.explorerMenu(['sample'], 'Espalier', 'More', 'Open Layer Heatmap');
  const panel = await Heatmap.find(workbench);
  await panel.finished();
  const right = await page.locator('.editor-group-container').last().boundingBox();
  if (right === null) throw new Error('there is no second group of editors');
  await page.mouse.move(right.x, right.y + right.height / 2);
  await page.mouse.down();
  await page.mouse.move(right.x - widened, right.y + right.height / 2, { steps: 10 });
  await page.mouse.up();
  await panel.slider.press('End');
  await panel.slider.blur();
  for (const [theme, name] of [
    ['dark', 'heatmap'],
    ['light', 'heatmap-light'],
  ] as const) {
    await session().setTheme(theme);
    await page.mouse.move(0, 0);
    await page.waitForTimeout(600);
    await page.screenshot({ path: join(media, `${name}.png`) });
  }
});
