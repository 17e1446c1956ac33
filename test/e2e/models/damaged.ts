import { createHash } from 'node:crypto';
import { cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../../../scripts/lib/repository.mjs';
import { Heatmap } from '../support/heatmap';
import type { Session } from '../support/session';
import { until } from '../support/until';

const NAN_WEIGHT = 'model.layers.1.mlp.down_proj.weight';

/** Tests in the session of a workspace that {@link damageModels} prepared. */
export function testDamaged(session: () => Session): void {
  /** Names and contents of all that is in a folder. */
  const contents = async (folder: string) =>
    Object.fromEntries(
      await Promise.all(
        (await readdir(folder)).map(async (name) => {
          const bytes = await readFile(join(folder, name));
          return [name, createHash('sha256').update(bytes).digest('hex')] as const;
        }),
      ),
    );
  /** Profiles a folder and gives the text of the error that is shown. Its context menu doesn't offer it. */
  const refusal = async (name: string): Promise<string> => {
    const { workbench, workspace } = session();
    const before = await contents(join(workspace, name));
    await workbench.runCommand('Espalier: Profile Layers');
    await workbench.quickPick(name).click();
    const notification = workbench.notification(new RegExp(`${name}/`));
    await notification.waitFor();
    const text = await notification.locator('.notification-list-item-message').textContent();
    await workbench.screenshot(`error-${name}`);
    await workbench.page.keyboard.press('Escape');
    await workbench.runCommand('Notifications: Clear All Notifications');
    expect(await contents(join(workspace, name))).toEqual(before);
    expect((await readdir(workspace)).filter((entry) => entry.startsWith(`${name}.`))).toEqual([]);
    return text ?? '';
  };

  it('with a truncated file: names the file, the missing part and the fix', async () => {
    expect(await refusal('truncated')).toMatch(/truncated\/model\.safetensors: .*download/i);
  });

  it('with a config.json of another shape: names the tensor and both shapes', async () => {
    expect(await refusal('wrong-shape')).toMatch(
      /wrong-shape\/model\.safetensors: model\.layers\.0\.mlp\.\w+\.weight: .*\[.*\].*expected \[.*\] by config.json/,
    );
  });

  it('without one of its shards: names the shard', async () => {
    expect(await refusal('no-shard')).toMatch(/model-00002-of-00003\.safetensors/);
  });

  it('with an unknown architecture: names the field and the fix', async () => {
    expect(await refusal('unknown')).toMatch(
      /unknown\/config\.json: model_type: .*"reversible".*known family/,
    );
  });

  it('with NaN in its weights: the panel names the file, the tensor and the fix', async () => {
    const { workbench, workspace } = session();
    const folder = join(workspace, 'not-finite');
    const before = await contents(folder);
    await workbench.explorerMenu(['not-finite'], 'Espalier', 'Profile Layers');
    const { job } = await Heatmap.find(workbench);
    await job.getByText('Profiling failed.').waitFor();
    const text = await job.textContent();
    expect(text).toContain(`not-finite/model.safetensors: ${NAN_WEIGHT}`);
    expect(text).toMatch(/NaN or infinity/);
    expect(text).toMatch(/download it again/);
    await workbench.screenshot('error-not-finite');
    expect(await contents(folder)).toEqual(before);
  });

  it('a plan with an unknown sublayer: is marked, with the name it may have meant', async () => {
    const { workbench } = session();
    await workbench.explorer.open('planned.plan.json');
    await workbench.page.locator('.monaco-editor .squiggly-error').first().waitFor();
    const problems = workbench.page.locator('.markers-panel');
    const togglePanel = async (): Promise<void> => workbench.page.keyboard.press('Control+Shift+M');
    await until(togglePanel, async () => problems.isVisible());
    const problem = problems.locator('.monaco-list-row', { hasText: 'block.9.attention' });
    await problem.waitFor();
    expect(await problem.textContent()).toContain('Did you mean "block.0.attention"?');
    await workbench.screenshot('plan-problem');
    await until(togglePanel, async () => problems.isHidden());
  });
}

/** Copies of test/fixtures/models, each with another fault. */
export async function damageModels(workspace: string): Promise<void> {
  const place = async (fixture: string, name: string) => {
    const folder = join(workspace, name);
    await cp(join(root, 'test', 'fixtures', 'models', fixture), folder, { recursive: true });
    return folder;
  };
  const truncated = await place('llama-gqa-untied', 'truncated');
  await truncate(join(truncated, 'model.safetensors'), 40_000);
  await changeConfig(await place('llama-gqa-untied', 'wrong-shape'), { intermediate_size: 80 });
  await rm(join(await place('llama-sharded', 'no-shard'), 'model-00002-of-00003.safetensors'));
  await changeConfig(await place('llama-gqa-untied', 'unknown'), { model_type: 'reversible' });
  const notFinite = await place('llama-gqa-untied', 'not-finite');
  await poison(join(notFinite, 'model.safetensors'), NAN_WEIGHT);
  await place('llama-gqa-untied', 'planned');
  const plan = {
    format: 'espalier.plan',
    version: 1,
    model: { path: 'planned' },
    remove: ['block.9.attention'],
  };
  await writeFile(join(workspace, 'planned.plan.json'), `${JSON.stringify(plan, null, 2)}\n`);
}

async function changeConfig(folder: string, changes: object): Promise<void> {
  const path = join(folder, 'config.json');
  const config = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...config, ...changes }, null, 2));
}

/** Puts a NaN into one float32 tensor of a safetensors file. */
async function poison(path: string, tensor: string): Promise<void> {
  const bytes = await readFile(path);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const offset = header[tensor]?.data_offsets[0];
  if (offset === undefined) throw new Error(`${path} has no ${tensor}`);
  bytes.writeFloatLE(Number.NaN, start + offset);
  await writeFile(path, bytes);
}
