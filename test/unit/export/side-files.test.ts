import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, mkdtemp, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readManifest } from '../../../extension/core/pipelines/manifest-file';
import type { Manifest } from '../../../extension/core/pipelines/manifest-file';
import { openModel } from '../../../extension/core/models/open-model';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { prune, RecordedContext } from './pruning';

const root = temporaryFolder();
const freshFolder = async (): Promise<string> => mkdtemp(join(root, 'case-'));
const removed = ['block.0.attention', 'block.0.feedforward', 'block.1.attention'];

/** The manifest as it is written, which has to be what is read of it. */
async function manifestOf(folder: string): Promise<Manifest> {
  const written = JSON.parse(readFileSync(join(folder, 'espalier.json'), 'utf8')) as Manifest;
  expect(await readManifest(folder)).toEqual(written);
  return written;
}

describe('files next to the weights', () => {
  it.each(['safetensors', 'onnx'] as const)(
    '%s keep tokenizer, license and templates, and no other weights',
    async (format) => {
      const folder = await freshFolder();
      const source = join(folder, 'source');
      await cp(fixture('llama-gqa-untied'), source, { recursive: true });
      const put = (path: string, text = path): void => {
        writeFileSync(join(source, path), text);
      };
      mkdirSync(join(source, 'additional_chat_templates'));
      mkdirSync(join(source, 'original'));
      mkdirSync(join(source, '.cache'));
      for (const path of [
        'README.md',
        'LICENSE',
        'chat_template.jinja',
        'additional_chat_templates/tool.jinja',
        'original/consolidated.00.pth',
        '.cache/lock',
        'pytorch_model.bin',
        'pytorch_model.bin.index.json',
        'model.gguf',
        'hf_quant_config.json',
        'source.layerprofile.json',
        'source.plan.json',
      ]) {
        put(path);
      }
      await rename(join(source, 'tokenizer.json'), join(source, '.blob'));
      await symlink('.blob', join(source, 'tokenizer.json'));
      const secret = join(folder, 'id_rsa');
      writeFileSync(secret, 'secret');
      await symlink(secret, join(source, 'NOTES.txt'));
      await symlink(secret, join(source, 'additional_chat_templates', 'notes.jinja'));
      await symlink('nowhere', join(source, 'broken.txt'));
      await symlink('..', join(source, 'loop'));

      const out = join(folder, 'out');
      const context = new RecordedContext();
      const result = await prune(source, removed, out, { format }, context);
      const names = readdirSync(out).filter((name) => !name.startsWith('golden'));
      expect(names).toEqual(
        [
          'LICENSE',
          'README.md',
          'additional_chat_templates',
          'chat_template.jinja',
          'config.json',
          'espalier.json',
          'generation_config.json',
          ...(format === 'onnx' ? ['model.onnx', 'model.onnx_data'] : ['model.safetensors']),
          ...(format === 'onnx' ? [] : ['modeling_espalier.py']),
          'tokenizer.json',
          'tokenizer_config.json',
        ].sort(),
      );
      expect(readFileSync(join(out, 'additional_chat_templates', 'tool.jinja'), 'utf8')).toBe(
        'additional_chat_templates/tool.jinja',
      );
      expect(readFileSync(join(out, 'tokenizer.json'))).toEqual(
        readFileSync(join(source, '.blob')),
      );
      expect(readdirSync(join(out, 'additional_chat_templates'))).toEqual(['tool.jinja']);
      expect(context.warnings.join()).toMatch(/Not copied.*original/);
      expect(context.warnings).toContain(
        "Not copied, because they are links to places outside of the model's folder: NOTES.txt, additional_chat_templates/notes.jinja, loop.",
      );
      expect(result.files.map(({ name }) => name)).toContain(
        join('additional_chat_templates', 'tool.jinja'),
      );
      for (const { name, bytes } of result.files) {
        expect(readFileSync(join(out, name))).toHaveLength(bytes);
      }
    },
  );

  it('has a manifest that maps the blocks back to the source', async () => {
    const folder = await freshFolder();
    const source = fixture('llama-gqa-untied');
    const { fingerprint, parameters } = (await openModel(source)).summary;
    const [once, twice] = [join(folder, 'once'), join(folder, 'twice')];
    const result = await prune(source, removed, once);
    const first = await manifestOf(once);
    expect(first).toMatchObject({
      format: 'espalier.manifest',
      version: 1,
      source: {
        name: 'llama-gqa-untied',
        fingerprint,
        architecture: 'llama',
        blocks: 4,
        parameters,
      },
      removed,
      result: {
        format: 'safetensors',
        parameters: result.parametersAfter,
        sourceBlocks: [1, 2, 3],
        absent: ['block.0.attention'],
        keyValueCaches: ['block.2.attention', 'block.3.attention'],
      },
      verification: result.verification,
    });
    await prune(once, ['block.2.attention', 'block.2.feedforward'], twice);
    const second = await manifestOf(twice);
    expect(second.source.manifest).toEqual(first);
    expect(second.result.sourceBlocks).toEqual([0, 1]);
    expect(second.source.architecture).toBe('espalier-llama');
  });

  it('a damaged manifest is passed over', async () => {
    const folder = await freshFolder();
    const file = join(folder, 'espalier.json');
    for (const text of ['{', '{}', '{"format": "espalier.manifest", "version": 1, "removed": 3}']) {
      writeFileSync(file, text);
      expect(await readManifest(folder)).toBeUndefined();
    }
  });

  it('reports progress in bytes up to the end', async () => {
    const context = new RecordedContext();
    await prune(
      fixture('llama-sharded'),
      ['block.1.attention'],
      join(await freshFolder(), 'out'),
      {},
      context,
    );
    const bytes = context.stages.filter(({ unit }) => unit === 'bytes');
    expect(bytes.map(({ done }) => done)).toEqual(
      bytes.map(({ done }) => done).sort((a, b) => a - b),
    );
    expect(bytes.at(-1)?.done).toBe(bytes.at(-1)?.total);
    expect([...new Set(context.stages.map(({ stage }) => stage))]).toEqual([
      'Running the source model',
      'Writing weights',
      'Checking the written model',
    ]);
  });
});
