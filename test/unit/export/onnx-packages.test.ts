import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadModelInputs } from '../../../extension/core/data/model-inputs';
import { unattended } from '../../../extension/core/jobs/job';
import { describeModel } from '../../../extension/core/inspect/describe-model';
import { tokenizerPlace } from '../../../extension/core/models/tokenizer-place';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { freeingNothing } from '../../../extension/core/shared-weights';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { plan } from '../../../extension/core/operations/plan';
import { fixture } from '../fixtures';
import { modelBytes, rawTensor } from '../onnx-bytes';
import type { NodeLine } from '../onnx-bytes';
import { onnxFixture } from '../onnx-fixtures';
import { pruneWidthsIn } from '../pipelines/width-pruning';
import { temporaryFolder } from '../temporary-folder';
import { prune, RecordedContext } from './pruning';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { PruneResult } from '../../../extension/core/pipelines/prune-result';
import { inEnglish } from '../../../extension/core/message';

const root = temporaryFolder();

/** A snapshot of a cache of Hugging Face: links to files that are called by their hashes. */
function snapshot(name: string, files: Readonly<Record<string, string>>): string {
  const repository = join(root, `models--org--${name}`);
  const blobs = join(repository, 'blobs');
  const folder = join(repository, 'snapshots', '0123abc');
  mkdirSync(blobs, { recursive: true });
  for (const [i, [path, source]] of Object.entries(files).entries()) {
    const link = join(folder, path);
    mkdirSync(join(link, '..'), { recursive: true });
    cpSync(source, join(blobs, `blob${i}`));
    symlinkSync(relative(join(link, '..'), join(blobs, `blob${i}`)), link);
  }
  return folder;
}

describe('the cache of Hugging Face', () => {
  beforeAll(() => {
    writeFileSync(join(root, 'config.json'), JSON.stringify({ hidden_size: 16, vocab_size: 48 }));
  });

  const graph = 'onnx/model.onnx';
  const files = {
    [graph]: onnxFixture('llama-genai'),
    'onnx/model.onnx.data': `${onnxFixture('llama-genai')}.data`,
    'tokenizer.json': fixture('llama-gqa-untied', 'tokenizer.json'),
    'config.json': join(root, 'config.json'),
  };

  it('opens for graphs with data: named by the repository, files next to the link', async () => {
    const folder = snapshot('graph', files);
    const { summary } = await openModel(join(folder, graph));
    expect(summary).toMatchObject({ name: 'graph', path: join(folder, graph), hiddenSize: 16 });
    expect(tokenizerPlace(summary.path).file).toBe(join(folder, 'tokenizer.json'));
    expect((await describeModel(join(folder, graph))).name).toBe('graph');
    const { files: written } = await prune(
      join(folder, graph),
      ['block.0.feedforward'],
      join(root, 'pruned'),
      { format: 'onnx' },
    );
    expect(written.map(({ name }) => name)).toEqual([
      'model.onnx',
      'model.onnx_data',
      'espalier.json',
      'config.json',
      'tokenizer.json',
    ]);
  });

  it('opens for folders by the name of the repository', async () => {
    const names = readdirSync(fixture('llama-gqa-untied')).filter(
      (name) => !name.includes('golden'),
    );
    const folder = snapshot(
      'folder',
      Object.fromEntries(names.map((name) => [name, fixture('llama-gqa-untied', name)])),
    );
    expect((await openModel(folder)).summary.name).toBe('folder');
  });

  it('gives data of no other repository', async () => {
    const folder = snapshot('own', { [graph]: files[graph] });
    const other = join(snapshot('other', files), 'onnx/model.onnx.data');
    symlinkSync(other, join(folder, 'onnx/model.onnx.data'));
    await expect(openModel(join(folder, graph))).rejects.toFailWith({
      code: 'onnx-data-link',
      file: 'model.onnx',
      field: 'model.embed_tokens.weight',
    });
  });
});

describe('a graph with shared weights', () => {
  it('counts them once, marks them, and warns that removing one saves nothing', async () => {
    const path = join(root, 'shared.onnx');
    const ports = ['batch', 'sequence', 4];
    const half = (tag: string, input: string, output: string): NodeLine[] => [
      ['MatMul', [input, 'up'], [`${tag}a`]],
      ['Relu', [`${tag}a`], [`${tag}b`]],
      ['MatMul', [`${tag}b`, 'down'], [`${tag}c`]],
      ['Add', [`${tag}c`, input], [output]],
    ];
    writeFileSync(
      path,
      modelBytes({
        inputs: { x: ports },
        outputs: { y: ports },
        nodes: [...half('0.', 'x', 'h'), ...half('1.', 'h', 'y')],
        initializers: [rawTensor('up', [4, 8]), rawTensor('down', [8, 4])],
      }),
    );
    const { summary } = await openModel(path);
    expect(summary.parameters).toBe(64);
    expect(summary.sublayers).toMatchObject([
      { parameters: 0, bytes: 0, sharedWeights: 64, shares: ['up', 'down'] },
      { parameters: 0, bytes: 0, sharedWeights: 64, shares: ['up', 'down'] },
    ]);
    const removed = ['block.0.feedforward'];
    expect(freeingNothing(summary, removed)).toEqual(removed);
    const all = summary.sublayers.map(({ id }) => id);
    expect(freeingNothing(summary, all)).toEqual([]);
    const context = new RecordedContext();
    await prune(path, removed, join(root, 'half'), { format: 'onnx' }, context);
    expect(context.warnings.join()).toMatch(/This saves no weights/);

    const planned = new RecordedContext();
    const request = buildRequest(plan, {
      ...{ model: path, remove: 1, calibration: 'random', sequences: 1, length: 4, device: 'cpu' },
    });
    const environment = { samples: root, version: '', costsFolder: root, bundles: root };
    const { remove } = await plan.run(request, {
      ...unattended,
      warn: planned.warn.bind(planned),
      environment: { ...environment, open: openModelFiles },
    });
    const said = (names: string): string =>
      `Removing ${names} frees no parameters: other sublayers use the same weights.`;
    expect(planned.warnings).toEqual(
      expect.arrayContaining([said(all.join(', ')), said(remove.join())]),
    );
  });
});

describe('a graph without a tokenizer', () => {
  it('can be measured on random inputs, as its error suggests', async () => {
    const model = await openModel(onnxFixture('llama-genai'));
    const request = { sequences: 1, length: 8, upTo: false };
    await expect(loadModelInputs(request, model, '', 0)).rejects.toFailWith({
      code: 'no-tokenizer',
      file: 'tokenizer.json',
    });
    const { inputs } = await loadModelInputs({ ...request, file: 'random' }, model, '', 0);
    expect(inputs).toHaveLength(1);
  });
});

describe('a package of onnxruntime-genai', () => {
  const source = join(root, 'package');
  const config = (fields: Record<string, unknown> = {}): string =>
    JSON.stringify({
      model: {
        decoder: {
          filename: 'model.onnx',
          inputs: {
            input_ids: 'input_ids',
            past_key_names: 'past_key_values.%d.key',
            past_value_names: 'past_key_values.%d.value',
          },
          outputs: { present_key_names: 'present.%d.key', present_value_names: 'present.%d.value' },
          num_hidden_layers: 2,
          sliding_window: { layers: [0, 1] },
          ...fields,
        },
        type: 'llama',
      },
    });

  beforeAll(() => {
    cpSync(dirname(onnxFixture('llama-genai')), source, { recursive: true });
  });

  const decoderIn = (folder: string): unknown => {
    const { model } = JSON.parse(readFileSync(join(folder, 'genai_config.json'), 'utf8')) as {
      model: { decoder: unknown };
    };
    return model.decoder;
  };

  it('counts the caches that are left, as the graph does', async () => {
    writeFileSync(join(source, 'genai_config.json'), config());
    const out = join(root, 'fewer');
    const { loadsWith } = await prune(join(source, 'model.onnx'), ['block.0.attention'], out, {
      format: 'onnx',
    });
    expect(inEnglish(loadsWith)).toMatch(/^onnxruntime-genai: the folder/);
    expect(decoderIn(out)).toMatchObject({ num_hidden_layers: 1, sliding_window: { layers: [0] } });
    const { inputs } = await openModel(join(out, 'model.onnx'));
    expect(inputs.map(({ name }) => name)).toEqual([
      'input_ids',
      'attention_mask',
      'past_key_values.0.key',
      'past_key_values.0.value',
    ]);
  });

  it.each(['phi-genai', 'qwen3-moe-past'])(
    'stores the number of heads if all blocks of %s have the same, and is left out otherwise',
    async (name) => {
      const folder = join(root, name);
      cpSync(dirname(onnxFixture(name)), folder, { recursive: true });
      const model: LayeredModel = await openModel(join(folder, 'model.onnx'));
      const groups = model.sublayer(0).width?.count ?? 0;
      const heads = { num_attention_heads: 2 * groups, num_key_value_heads: groups };
      writeFileSync(join(folder, 'genai_config.json'), config(heads));
      const widthPruned = async (out: string, blocks: number[]): Promise<PruneResult> =>
        pruneWidthsIn(root)(
          join(folder, 'model.onnx'),
          {
            widths: blocks.map((block) => ({ sublayer: `block.${block}.attention`, remove: '0' })),
          },
          out,
          { format: 'onnx' },
        );
      await widthPruned(`${name}-alike`, [0, 1]);
      expect(decoderIn(join(root, `${name}-alike`))).toMatchObject({
        num_hidden_layers: 2,
        num_attention_heads: 2 * (groups - 1),
        num_key_value_heads: groups - 1,
      });
      const { loadsWith } = await widthPruned(`${name}-unlike`, [0]);
      expect(inEnglish(loadsWith)).not.toMatch(/genai/);
      expect(readdirSync(join(root, `${name}-unlike`))).not.toContain('genai_config.json');
    },
  );

  it('stays as it is if no cache is removed, and is left out with a message if it belongs to another graph', async () => {
    writeFileSync(join(source, 'genai_config.json'), config());
    const out = join(root, 'same');
    await prune(join(source, 'model.onnx'), ['block.0.feedforward'], out, {
      format: 'onnx',
    });
    expect(readFileSync(join(out, 'genai_config.json'), 'utf8')).toBe(config());
    writeFileSync(join(source, 'genai_config.json'), config({ filename: 'decoder.onnx' }));
    const context = new RecordedContext();
    const other = join(root, 'other');
    await prune(
      join(source, 'model.onnx'),
      ['block.0.attention'],
      other,
      { format: 'onnx' },
      context,
    );
    expect(readdirSync(other)).not.toContain('genai_config.json');
    expect(context.warnings.join()).toMatch(/genai_config\.json is not copied/);
  });
});
