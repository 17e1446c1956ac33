import { existsSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../../../scripts/lib/repository.mjs';
import { Heatmap } from '../support/heatmap';
import type { Session } from '../support/session';

/** Tests in the session of a workspace that {@link placeGraphs} prepared. */
export function testOnnx(session: () => Session): void {
  const profile = async (name: string): Promise<Heatmap> => {
    const { workbench } = session();
    await workbench.explorerMenu([name, `${name}.onnx`], 'Espalier', 'Profile Layers');
    await workbench.tab(`Layer Heatmap: ${name}`).waitFor();
    const panel = await Heatmap.find(workbench);
    await panel.finished();
    return panel;
  };
  const prune = async (panel: Heatmap, name: string): Promise<void> => {
    const { workbench, workspace } = session();
    const out = join(workspace, name, `${name}-pruned`);
    // Without training, the one round of the search may lose more than a little.
    await panel.slider.press('End');
    await panel.button('Prune…').click();
    await workbench.acceptValue(out);
    const message = workbench.notification(new RegExp(`${name}-pruned is .*Verified: `));
    await message.waitFor();
    await workbench.screenshot(`onnx-pruned-${name}`);
    expect(existsSync(join(out, `${name}.onnx`))).toBe(true);
    const report = await workbench.report(`${name}-pruned`);
    await report.getByRole('button', { name: 'Layer Heatmap' }).click();
    await workbench.tab(`Layer Heatmap: ${name}-pruned`).waitFor();
    const written = await Heatmap.find(workbench);
    await expect.poll(() => written.cells().count()).toBe(3);
    await workbench.screenshot(`onnx-reopened-${name}`);
    await workbench.runCommand('View: Close All Editors');
  };

  it('of a text model is profiled on a text, pruned, and opened again', async () => {
    const panel = await profile('gpt2');
    await session().workbench.screenshot('onnx-profiled-gpt2');
    expect(await panel.cells('measured').count()).toBe(4);
    await panel.frame.getByText('2 × 16 tokens, bundled text').waitFor({ state: 'attached' });
    await prune(panel, 'gpt2');
  });

  it('of an image model is profiled on random numbers, labels the result as such, is pruned, and opens again', async () => {
    const panel = await profile('vit');
    await session().workbench.screenshot('onnx-profiled-vit');
    expect(await panel.cells('measured').count()).toBe(4);
    await panel.frame
      .getByText(/random/)
      .first()
      .waitFor({ state: 'attached' });
    await prune(panel, 'vit');
  });
}

/** A text model with a tokenizer of as many tokens as it knows, and an image model. */
export async function placeGraphs(workspace: string): Promise<void> {
  const place = async (fixture: string, folder: string): Promise<string> => {
    const target = join(workspace, folder);
    await mkdir(target);
    const source = join(root, 'test', 'fixtures', 'onnx', fixture, 'model.onnx');
    await cp(source, join(target, `${folder}.onnx`));
    return target;
  };
  const gpt2 = await place('gpt2-merged', 'gpt2');
  const letters = 'abcdefghijklmnopqrstuvwxyz '.split('');
  const tokens = ['<unk>', ...letters];
  const tokenizer = {
    version: '1.0',
    added_tokens: [],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: [],
    },
  };
  await writeFile(join(gpt2, 'tokenizer.json'), JSON.stringify(tokenizer));
  await place('vit-legacy', 'vit');
}
