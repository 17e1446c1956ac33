import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Frame, Locator } from 'playwright-core';
import { beforeAll, expect, it } from 'vitest';
import { root } from '../../../scripts/lib/repository.mjs';
import { accessibilityViolations } from '../support/accessibility';
import { THEMES } from '../support/session';
import type { Session } from '../support/session';

const fixtures = join(root, 'test', 'fixtures');

/** Files next to the sample model. */
export async function placeFiles(workspace: string): Promise<void> {
  await cp(join(fixtures, 'gguf', 'llama.gguf'), join(workspace, 'llama.gguf'));
  await cp(join(fixtures, 'onnx', 'gpt2-legacy', 'model.onnx'), join(workspace, 'gpt2.onnx'));
  await mkdir(join(workspace, 'other'));
  await cp(join(fixtures, 'models', 'llama-tied-f16'), join(workspace, 'other'), {
    recursive: true,
  });
  const numbers = { 'block.1.attention': 0.5, 'block.3.feedforward': 2 };
  await writeFile(join(workspace, 'numbers.json'), JSON.stringify(numbers));
}

/** Tests in the session of a workspace that {@link placeFiles} prepared. */
export function testExplorer(session: () => Session): void {
  beforeAll(async () => {
    await session().workbench.extensionKnown();
  });

  const explorer = async (): Promise<Frame> => session().workbench.webview('[role="treegrid"]');
  /** Types a path into a dialog for files, which suggests one first: what is typed before is taken for a part of it. */
  const chooseFile = async (suggested: RegExp, path: string, button = 'OK') => {
    const { workbench } = session();
    const input = workbench.quickInput();
    await expect.poll(async () => input.inputValue()).toMatch(suggested);
    await input.fill(path);
    const accept = workbench.page
      .locator('.quick-input-widget')
      .getByRole('button', { name: button, exact: true });
    await expect
      .poll(
        async () => {
          await accept.click({ timeout: 1000 }).catch(() => undefined);
          return input.isVisible();
        },
        { interval: 1000 },
      )
      .toBe(false);
  };
  const row = (frame: Frame, id: string): Locator => frame.locator(`tr[data-id="${id}"]`);

  it('opens a weight file by a click: structure, sizes, side files', async () => {
    const { workbench } = session();
    await workbench.explorer.open('sample', 'model.safetensors');
    const frame = await explorer();
    await row(frame, 'block.0').waitFor();
    await frame.getByRole('heading', { name: 'sample', level: 1 }).waitFor();
    expect(await frame.locator('.facts').first().textContent()).toContain(
      '12 blocks, 24 sublayers',
    );
    await frame.getByRole('button', { name: 'tokenizer_config.json' }).waitFor();
    await frame.getByRole('img', { name: /parameters by kind: MLP 58/ }).waitFor();
  });

  it('is walked through with the keyboard, down to a tensor’s numbers', async () => {
    const { page } = session().workbench;
    const frame = await explorer();
    await row(frame, 'block.0').focus();
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowDown']) {
      await page.keyboard.press(key);
    }
    const name = 'model.layers.0.self_attn.q_proj.weight';
    const tensor = row(frame, `tensor:${name}`);
    await tensor.and(frame.locator('[aria-selected="true"]')).waitFor();
    expect(await tensor.getAttribute('aria-level')).toBe('3');
    await page.keyboard.press('Enter');
    const chosen = frame.getByRole('region', { name: 'Details' });
    await chosen.getByText('Standard deviation').waitFor();
    expect(await chosen.locator('.statistics').textContent()).toMatch(/Values36,864.*Mean/);
    expect(await chosen.locator('canvas').getAttribute('aria-label')).toMatch(/64 bins/);
    for (let step = 0; step < 4; step++) await page.keyboard.press('ArrowLeft');
    await expect
      .poll(async () => row(frame, 'block.0').getAttribute('aria-expanded'))
      .toBe('false');
  });

  it('finds tensors by the words of a search', async () => {
    const { page } = session().workbench;
    const frame = await explorer();
    const search = frame.getByRole('textbox', { name: 'Search by name, type or shape' });
    await search.click();
    await page.keyboard.type('k_proj 64x192');
    await frame.getByText('12 of 110 tensors').waitFor();
    await row(frame, 'tensor:model.layers.11.self_attn.k_proj.weight').waitFor();
    expect(await frame.locator('tr[data-id*="q_proj"]').count()).toBe(0);
    await search.press('Control+a');
    await page.keyboard.type('no such tensor');
    await frame.getByText('No tensor matches the search.').waitFor();
    await search.press('Control+a');
    await page.keyboard.press('Delete');
    await row(frame, 'block.11').waitFor();
  });

  it('draws the data flow: folded, unfolded, down to a tensor', async () => {
    const { page } = session().workbench;
    const frame = await explorer();
    const box = (id: string): Locator => frame.locator(`g[data-id="${id}"]`);
    await frame.getByRole('button', { name: 'Data Flow' }).click();
    const run = frame.getByRole('treeitem', { name: 'Blocks 0 to 11, × 12' });
    await run.waitFor();
    await frame.getByText('Drawn from the architecture.').waitFor();
    const chosen = frame.getByRole('region', { name: 'Details' });
    await box('block.0.attention').click();
    await chosen.getByText('sum of 12 rows').waitFor();
    await run.locator('.fold').click();
    await box('block.11').waitFor();
    await box('block.1').dblclick();
    await box('block.1.attention').focus();
    await page.keyboard.press('ArrowRight');
    await box('block.1.attention/key').click();
    await chosen.getByRole('heading', { name: 'model.layers.1.self_attn.k_proj.weight' }).waitFor();
    expect(await accessibilityViolations(frame)).toEqual([]);
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    await box('block.1.attention/key').waitFor({ state: 'detached' });
    await frame.getByRole('button', { name: 'Collapse All' }).click();
    await box('block.11').waitFor({ state: 'detached' });
    await frame.getByRole('button', { name: 'Show Values…' }).click();
    const numbers = join(session().workspace, 'numbers.json');
    await chooseFile(/sample\/$/, numbers, 'Show Values');
    await frame.getByText('2 boxes have one of the 2 values.').waitFor();
    expect(await box('block.0.attention').getAttribute('aria-label')).toMatch(/ 0\.5$/);
    expect(await accessibilityViolations(frame)).toEqual([]);
    await session().workbench.screenshot('explorer-numbers');
    await frame.getByRole('button', { name: 'Hide Values' }).click();
    await frame.getByRole('button', { name: 'Show Values…' }).waitFor();
    await frame.getByRole('button', { name: 'Table' }).click();
    // The selection in the diagram is also selected in the table.
    await row(frame, 'block.1.attention').and(frame.locator('[aria-selected="true"]')).waitFor();
    await frame.getByRole('button', { name: 'Collapse All' }).click();
  });

  it('writes the list of tensors to a file', async () => {
    const { workbench, workspace } = session();
    const frame = await explorer();
    await frame.getByRole('button', { name: 'Export CSV' }).click();
    await chooseFile(/\.tensors\.csv$/, join(workspace, 'exported.csv'));
    await workbench.tab('exported.csv').waitFor();
    const lines = (await readFile(join(workspace, 'exported.csv'), 'utf8')).trimEnd().split('\r\n');
    expect(lines).toHaveLength(111);
    // The numbers that were read before are in it.
    expect(lines[0]).toMatch(/,zeros,.*,mean,/);
    // Rows of the explorer view still move, since a file was added.
    await workbench.tab('model.safetensors').click();
  });

  it('copies the data flow as an image', async () => {
    const frame = await explorer();
    await frame.getByRole('button', { name: 'Data Flow' }).click();
    const drawing = frame.locator('.diagram-scroll svg');
    await drawing.waitFor();
    await frame.evaluate(() => {
      const write = navigator.clipboard.write.bind(navigator.clipboard);
      navigator.clipboard.write = async ([item]) => {
        navigator.clipboard.write = write;
        const image = await createImageBitmap((await item?.getType('image/png')) ?? new Blob());
        const canvas = new OffscreenCanvas(image.width, image.height);
        const context = canvas.getContext('2d');
        context?.drawImage(image, 0, 0);
        const pixels = context?.getImageData(0, 0, image.width, image.height).data ?? [];
        const colors = new Set(new Uint32Array(new Uint8Array(pixels).buffer));
        document.body.dataset['copied'] = JSON.stringify([image.width, image.height, colors.size]);
      };
    });
    await frame.getByRole('button', { name: /^Copy as Image: Data flow/ }).press('Enter');
    const copied = await frame.locator('body[data-copied]').getAttribute('data-copied');
    const [, , width = 0, height = 0] = ((await drawing.getAttribute('viewBox')) ?? '')
      .split(' ')
      .map(Number);
    // Letters and curves alone have dozens of shades.
    expect(JSON.parse(copied ?? '')).toEqual([
      Math.round(2 * width),
      Math.round(2 * height),
      expect.toSatisfy((colors: number) => colors > 50),
    ]);
    await frame.getByRole('button', { name: 'Table' }).click();
  });

  it('compares with another model, weights on demand', async () => {
    const { workbench } = session();
    const frame = await explorer();
    await frame.getByRole('button', { name: 'Compare With…' }).click();
    await workbench.typePick('other');
    await frame.getByRole('heading', { name: 'Compared with other' }).waitFor();
    await frame.getByText('hidden_size').first().waitFor();
    await frame.getByRole('button', { name: 'Data Flow' }).click();
    await frame.getByText('Both models in one diagram').waitFor();
    await frame
      .getByRole('treeitem', { name: /only in this model$/ })
      .first()
      .waitFor();
    expect(await accessibilityViolations(frame)).toEqual([]);
    await workbench.screenshot('explorer-joined');
    await frame.getByRole('button', { name: 'Table' }).click();
    await workbench.screenshot('explorer-comparison');
    await frame.getByRole('button', { name: 'Compare Weights' }).click();
    await frame
      .getByText(/^Weights: |same values/)
      .first()
      .waitFor();
    await frame.getByRole('button', { name: 'Close' }).click();
    await frame.getByRole('heading', { name: 'Compared with other' }).waitFor({ state: 'hidden' });
  });

  it.each(Object.keys(THEMES) as (keyof typeof THEMES)[])('is accessible: %s', async (theme) => {
    const { workbench } = session();
    await session().setTheme(theme);
    const frame = await explorer();
    await row(frame, 'block.0').click();
    await row(frame, 'block.0.attention').waitFor();
    expect(await accessibilityViolations(frame)).toEqual([]);
    await workbench.screenshot(`explorer-${theme}`);
    for (const [part, name] of [
      ['#composition-title', 'composition'],
      ['#side-title', 'files'],
    ] as const) {
      await frame.locator(part).evaluate((element) => {
        element.scrollIntoView();
      });
      await workbench.screenshot(`explorer-${theme}-${name}`);
    }
    await frame.evaluate(() => {
      window.scrollTo(0, 0);
    });
    await row(frame, 'block.0').click();
  });

  it.each([
    ['llama.gguf', 'block.0', 'blk.0.attn_q.weight'],
    ['gpt2.onnx', 'block.0', ''],
  ])('opens %s', async (file, block, tensor) => {
    const { workbench } = session();
    await session().setTheme('dark');
    await workbench.page.keyboard.press('Escape');
    await workbench.runCommand('View: Close All Editors');
    await workbench.explorer.open(file);
    const frame = await explorer();
    await row(frame, block).click();
    await row(frame, `${block}.attention`).click();
    if (tensor !== '') await row(frame, `tensor:${tensor}`).waitFor();
    expect(await accessibilityViolations(frame)).toEqual([]);
    await workbench.screenshot(`explorer-${file}`);
  });

  it('shows a folder, and is restored after a reload', async () => {
    const { workbench } = session();
    await workbench.runCommand('View: Close All Editors');
    await workbench.explorerMenu(['other'], 'Espalier', 'Inspect Model');
    const frame = await explorer();
    await row(frame, 'block.1').click();
    await row(frame, 'block.1.attention').waitFor();
    await workbench.storageWritten();
    await workbench.reload();
    await row(await explorer(), 'block.1.attention').waitFor();
  });
}
