import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { ByteCopier } from '../../../extension/core/export/byte-copier';
import { copied } from '../../../extension/core/export/gguf/gguf-tensors';
import { layOutGguf, writeGguf } from '../../../extension/core/export/gguf/gguf-writer';
import { headerEntry } from '../../../extension/core/export/gguf/header-entries';
import { formatBytes } from '../../../extension/core/format';
import { describeModel } from '../../../extension/core/inspect/describe-model';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel } from '../../../extension/core/models/open-model';
import { ggufBytes, textValue } from '../checkpoints/gguf-file';
import { runCli } from '../cli/run-cli';
import { computeLogits, prune } from '../export/pruning';
import { relativeError } from '../fixtures';
import { ggufFixture, ggufGolden } from '../gguf-fixtures';
import { temporaryFolder } from '../temporary-folder';

const root = temporaryFolder();
const partName = (i: number): string => `tiny-0000${i + 1}-of-00003.gguf`;

/** Divides a file into three as `llama-gguf-split` does: the first has the metadata. */
async function split(source: string, folder: string): Promise<void> {
  mkdirSync(folder);
  const { file, entries, tensors, version, alignment } = await readGgufHeader(source);
  const size = Math.ceil(tensors.length / 3);
  for (let i = 0; i < 3; i++) {
    const own = [
      headerEntry.integer('split.no', i),
      headerEntry.integer('split.count', 3),
      headerEntry.integer('split.tensors.count', tensors.length),
    ];
    const all = [...entries.values()].map((entry) => ({ file, ...entry }));
    const part = tensors.slice(i * size, (i + 1) * size);
    const plan = layOutGguf(
      i === 0 ? [...all, ...own] : own,
      part.map((tensor) => copied({ name: tensor.name, tensor })),
      { version, alignment },
    );
    const copier = new ByteCopier(plan.bytes, unattended);
    await writeGguf(join(folder, partName(i)), plan, copier);
    await copier.close();
  }
}

describe('a GGUF model in several files', () => {
  const { inputIds, logits } = ggufGolden('llama');

  it('is opened by its folder or any part, and written as one file', async () => {
    const [folder, out] = [join(root, 'parts'), join(root, 'joined')];
    await split(ggufFixture('llama.gguf'), folder);
    writeFileSync(join(folder, 'mmproj-tiny.gguf'), '');
    for (const path of [folder, join(folder, partName(0)), join(folder, partName(2))]) {
      const { summary } = await openModel(path);
      expect(summary.name).toBe('tiny');
      expect(basename(summary.path)).toBe(partName(0));
    }
    expect(relativeError(await computeLogits(folder, inputIds), logits)).toBeLessThan(1e-5);
    const { files, warnings } = await describeModel(folder);
    expect(files).toHaveLength(3);
    expect(warnings).toEqual([]);
    const removed = ['block.0.attention', 'block.0.feedforward'];
    await prune(folder, removed, out, { format: 'gguf' });
    expect(readdirSync(out).sort()).toEqual(['espalier.json', 'tiny.gguf']);
    const expected = await computeLogits(ggufFixture('llama.gguf'), inputIds, removed);
    expect(relativeError(await computeLogits(out, inputIds), expected)).toBe(0);
  });

  it('names the part that is missing, or belongs to another model', async () => {
    const folder = join(root, 'broken');
    await split(ggufFixture('llama.gguf'), folder);
    copyFileSync(ggufFixture('llama.gguf'), join(folder, partName(1)));
    await expect(openModel(folder)).rejects.toFailWith({
      code: 'gguf-part-foreign',
      file: 'tiny-00002-of-00003.gguf',
      field: 'split.count',
    });
    rmSync(join(folder, partName(1)));
    await expect(openModel(folder)).rejects.toFailWith({
      code: 'file-missing',
      file: 'tiny-00002-of-00003.gguf',
    });
  });
});

it('projectors next to a model are listed by their headers, and are not models', async () => {
  const folder = join(root, 'images');
  mkdirSync(folder);
  copyFileSync(ggufFixture('llama.gguf'), join(folder, 'tiny.gguf'));
  const projector = (...types: readonly (readonly [key: string, type: string])[]): Buffer =>
    ggufBytes(
      [['general.architecture', 'clip'] as const, ...types].map(([key, text]) => [
        key,
        textValue(text),
      ]),
      [],
      0,
    );
  const files = {
    'mmproj-F16.gguf': projector(['clip.projector_type', 'qwen3vl_merger']),
    'tiny.mmproj-Q8_0.gguf': projector(
      ['clip.vision.projector_type', 'gemma4v'],
      ['clip.audio.projector_type', 'gemma4a'],
    ),
    'mmproj-damaged.gguf': Buffer.from('GGUF'),
  };
  for (const [name, bytes] of Object.entries(files)) {
    writeFileSync(join(folder, name), bytes);
  }
  const getSize = (name: keyof typeof files): number => files[name].length;
  const { sideFiles } = await describeModel(folder);
  expect(sideFiles).toEqual([
    {
      ...{ name: 'mmproj-F16.gguf', role: 'projector', bytes: getSize('mmproj-F16.gguf') },
      facts: { projector_type: 'qwen3vl_merger' },
    },
    { name: 'mmproj-damaged.gguf', role: 'projector', bytes: 4, facts: {} },
    {
      ...{ name: 'tiny.mmproj-Q8_0.gguf', role: 'projector' },
      ...{ bytes: getSize('tiny.mmproj-Q8_0.gguf') },
      facts: { projector_type: 'gemma4v, gemma4a' },
    },
  ]);
  const { code, stdout } = await runCli(['inspect', folder]);
  expect(code).toBe(0);
  const size = formatBytes(getSize('mmproj-F16.gguf'));
  expect(stdout).toContain(`projector of type qwen3vl_merger: mmproj-F16.gguf, ${size}`);
  expect(stdout).toContain('projector: mmproj-damaged.gguf, 4 B');
  const json = JSON.parse((await runCli(['inspect', folder, '--json'])).stdout) as object;
  expect(json).toHaveProperty('projectors.2.types', ['gemma4v', 'gemma4a']);
});
