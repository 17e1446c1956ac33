import { execFile } from 'node:child_process';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import type { Frame } from 'playwright-core';
import { beforeAll, describe, it } from 'vitest';
import { root } from '../../scripts/lib/repository.mjs';
import { cropPng } from './support/crop-png';
import type { THEMES } from './support/session';
import { useSession } from './support/use-session';

// The pictures of docs/pictures/: npm run package && npm run pictures
const fixtures = join(root, 'test', 'fixtures');
const pictures = join(root, 'docs', 'pictures');
const artifacts = join(root, 'test', 'artifacts');
const themes: readonly (keyof typeof THEMES)[] = ['light', 'dark', 'highContrast'];

describe('pictures of the explorer', () => {
  const session = useSession({
    prepare: async (workspace) => {
      await cp(join(fixtures, 'gguf', 'gemma3.gguf'), join(workspace, 'gemma3.gguf'));
      await cp(join(fixtures, 'gguf', 'llama.gguf'), join(workspace, 'llama.gguf'));
      await cp(join(fixtures, 'onnx', 't5-dynamo', 'model.onnx'), join(workspace, 't5-tiny.onnx'));
      await cp(
        join(fixtures, 'onnx', 'gpt2-legacy', 'model.onnx'),
        join(workspace, 'gpt2-tiny.onnx'),
      );
      await cp(join(fixtures, 'models', 'llama-tied-f16'), join(workspace, 'other'), {
        recursive: true,
      });
      await mkdir(pictures, { recursive: true });
      const profile = ['profile', join(workspace, 'sample'), '--sequences', '2', '--length', '64'];
      await promisify(execFile)(process.execPath, [
        join(root, 'dist', 'cli.js'),
        ...profile,
        ...['--search', 'one-shot', '--no-baselines'],
      ]);
    },
  });

  beforeAll(async () => {
    await session().workbench.extensionKnown();
  });

  const take = async (name: string): Promise<void> => {
    const { page } = session().workbench;
    await page.mouse.move(0, 0);
    for (const theme of themes) {
      await session().setTheme(theme);
      await page.waitForTimeout(600);
      // High contrast is looked at, not shown.
      const folder = theme === 'highContrast' ? artifacts : pictures;
      const box = await page.locator('.editor-group-container').first().boundingBox();
      if (box === null) throw new Error('no editor is open');
      // Cut out of the whole page: a picture of the editor alone is transparent outside the round corners of the webview.
      await writeFile(join(folder, `${name}-${theme}.png`), cropPng(await page.screenshot(), box));
    }
  };
  const open = async (...path: readonly string[]): Promise<Frame> => {
    const { workbench } = session();
    await workbench.runCommand('View: Close All Editors');
    await workbench.explorer.open(...path);
    const frame = await workbench.webview('[role="treegrid"]');
    await frame.locator('tr[data-id="block.0"]').waitFor();
    return frame;
  };
  const flow = async (frame: Frame): Promise<void> => {
    await frame.getByRole('button', { name: 'Data Flow' }).click();
    await frame.locator('[role="treeitem"]').first().waitFor();
    await frame.locator('#tree-title').evaluate((element) => {
      element.scrollIntoView();
    });
  };

  it.each([
    ['safetensors', ['sample', 'model.safetensors'], 'block.0.attention', 'other'],
    ['onnx', ['t5-tiny.onnx'], 'block.2.cross-attention', 'gpt2-tiny.onnx'],
    ['gguf', ['gemma3.gguf'], 'block.5.attention', 'llama.gguf'],
  ])('%s', async (format, path, sublayer, other) => {
    const { workbench } = session();
    const frame = await open(...path);
    await frame.locator('tr[data-id="block.0"]').click();
    await take(`explorer-${format}`);
    await flow(frame);
    await frame.locator(`g[data-id="${sublayer}"]`).click();
    await take(`flow-${format}`);
    await workbench.page.keyboard.press('Enter');
    await frame.locator(`g[data-id="${sublayer}"][aria-expanded="true"]`).waitFor();
    await take(`flow-${format}-open`);
    await frame.getByRole('button', { name: 'Table' }).click();
    await frame.getByRole('button', { name: 'Compare With…' }).click();
    await workbench.quickPick(other).click();
    await frame.getByRole('heading', { name: `Compared with ${other.split('.')[0]}` }).waitFor();
    await frame.evaluate(() => {
      window.scrollTo(0, 0);
    });
    await take(`comparison-${format}`);
  });

  it('the view of models', async () => {
    const { workbench } = session();
    const { page } = workbench;
    await workbench.runCommand('View: Close All Editors');
    await workbench.showSideBar('Espalier');
    // Only the view of models is open, so that there is room for it.
    for (const other of ['Jobs', 'Results']) {
      await page.getByRole('button', { name: `${other} Section` }).click();
    }
    const entry = (label: RegExp) =>
      page
        .locator('.customview-tree .monaco-list-row')
        .filter({ has: page.locator('.label-name', { hasText: label }) })
        .first();
    const twisty = (label: RegExp) => entry(label).locator('.monaco-tl-twistie');
    for (const name of [/^sample$/, /^Block 0$/, /^Attention$/]) {
      await twisty(name).click();
      await page.waitForTimeout(500);
    }
    await entry(/q_proj/).click();
    await (
      await workbench.webview('tr[data-id*="q_proj"][aria-selected="true"]')
    )
      .locator('tr[data-id*="q_proj"]')
      .first()
      .waitFor();
    for (const theme of themes) {
      await session().setTheme(theme);
      await page.waitForTimeout(600);
      const folder = theme === 'highContrast' ? artifacts : pictures;
      await page.screenshot({ path: join(folder, `models-view-${theme}.png`) });
    }
  });
});
