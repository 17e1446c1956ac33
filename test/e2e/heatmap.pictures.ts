import { join } from 'node:path';
import { it } from 'vitest';
import { root } from '../../scripts/lib/repository.mjs';
import { Heatmap } from './support/heatmap';
import { useSession } from './support/use-session';

// The pictures of media/readme/: npm run package && npm run pictures
const media = join(root, 'media', 'readme');
/** How far the border between config.json and the heatmap is dragged to the left, in pixels. */
const widened = 250;
/** Nothing is judged here: a busy machine may take long. */
const slow = 400_000;

const session = useSession({ settings: { 'espalier.device': 'cpu' } });

it(
  'the heatmap of the sample model, pruned by a quarter',
  async () => {
    const { workbench } = session();
    const { page } = workbench;
    await workbench.explorer.open('sample', 'config.json');
    await workbench.explorerMenu(['sample'], 'Espalier', 'Profile Layers');
    const panel = await Heatmap.find(workbench);
    await panel.finished(slow);
    const right = await page.locator('.editor-group-container').last().boundingBox();
    if (right === null) throw new Error('there is no second group of editors');
    await page.mouse.move(right.x, right.y + right.height / 2);
    await page.mouse.down();
    await page.mouse.move(right.x - widened, right.y + right.height / 2, { steps: 10 });
    await page.mouse.up();
    await panel.button('Evaluate').click();
    const evaluating = panel.frame.getByText('Evaluating sample');
    await evaluating.waitFor();
    await evaluating.waitFor({ state: 'hidden', timeout: slow });
    for (const [theme, name] of [
      ['dark', 'heatmap'],
      ['light', 'heatmap-light'],
    ] as const) {
      await session().setTheme(theme);
      await page.mouse.move(0, 0);
      await page.waitForTimeout(600);
      await page.screenshot({ path: join(media, `${name}.png`) });
    }
  },
  2 * slow,
);
