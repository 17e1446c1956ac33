import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { openModel } from '../../../extension/core/models/open-model';
import {
  encoderFixture,
  encoderGolden,
  encoderOutput,
  hubNames,
  stockNames,
  textTowers,
} from '../encoder-fixtures';
import { relativeError } from '../fixtures';
import { modelFeatures, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { hashes, prune, readConfig, rejection } from './pruning';
import { inEnglish } from '../../../extension/core/message';

const root = temporaryFolder();
const freshFolder = async (): Promise<string> => join(await mkdtemp(join(root, 'case-')), 'pruned');

const stock = await sampled(
  stockNames.filter((name) => !textTowers.includes(name)),
  (name) => modelFeatures(encoderFixture(name)),
);

describe('pruned encoders', () => {
  it.each(stock)('of %s agree with transformers', async (name) => {
    const source = encoderFixture(name);
    const before = hashes(source);
    const { examples, removed } = encoderGolden(name);
    const { summary } = await openModel(source);
    for (const one of removed) {
      const out = await freshFolder();
      const result = await prune(source, one.removed, out);
      expect(result.verification.relativeError).toBeLessThan(1e-6);
      const written = (await openModel(out)).summary;
      expect(written.parameters).toBe(result.parametersAfter);
      expect(written.sublayers).toHaveLength(summary.sublayers.length - one.removed.length);
      expect(written.warnings).toEqual([]);
      expect(relativeError(await encoderOutput(out, examples), one.output)).toBeLessThan(1e-4);
      const onnx = await prune(source, one.removed, await freshFolder(), { format: 'onnx' });
      expect(onnx.verification.relativeError).toBeLessThan(1e-5);
      const manifest = JSON.parse(readFileSync(join(onnx.path, 'espalier.json'), 'utf8')) as {
        result: Record<string, unknown>;
      };
      expect(manifest.result).toMatchObject({ keyValueCaches: [] });
      expect(manifest.result).not.toHaveProperty('note');
    }
    expect(hashes(source)).toEqual(before);
  });

  it.each(textTowers)(
    'are removed from the tower %s, with the other tower unchanged',
    async (tower) => {
      const source = encoderFixture(tower);
      const { examples, removed } = encoderGolden(tower);
      const both = ['block.0.attention', 'block.0.feedforward'];
      const expected = removed.find((one) => one.removed.join() === both.join())?.output;
      const { path, layout, loadsWith } = await prune(source, both, await freshFolder());
      expect(layout).toBe('blocks');
      // transformers can't choose the class of one of two towers automatically.
      const [named] = readConfig(source)['architectures'] as string[];
      expect(inEnglish(loadsWith)).toContain(`such as transformers: ${named}.from_pretrained`);
      expect(readConfig(path)).toMatchObject({
        text_config: { num_hidden_layers: 1 },
        vision_config: { num_hidden_layers: 1 },
      });
      const written = await encoderOutput(path, examples);
      expect(relativeError(written, expected ?? Float32Array.of())).toBeLessThan(1e-4);
      const readTensors = async (folder: string): Promise<Map<string, Buffer>> => {
        const { tensors } = await openSafetensors(join(folder, 'model.safetensors'));
        return new Map(
          [...tensors.values()]
            .filter(({ name }) => name.startsWith('vision_model.'))
            .map(({ name, file, offset, length }) => [
              name,
              readFileSync(file).subarray(offset, offset + length),
            ]),
        );
      };
      const before = await readTensors(source);
      expect(before.size).toBeGreaterThan(10);
      expect(await readTensors(path)).toEqual(before);
      const single = prune(source, ['block.0.attention'], await freshFolder());
      expect((await rejection(single)).message).toMatch(/text_config alone.*choose zeroed/);
      const onnx = await prune(source, ['block.0.attention'], await freshFolder(), {
        format: 'onnx',
      });
      const { output } = await openModel(source);
      expect((await openModel(onnx.path)).output.name).toBe(output.name);
    },
  );

  it('keep the first block of WavLM with the tensors that others share, and renumber the rest', async () => {
    const source = encoderFixture('wavlm-ctc');
    const first = await freshFolder();
    const both = ['block.0.attention', 'block.0.feedforward'];
    await prune(source, both, first);
    expect(readConfig(first)).toMatchObject({ num_hidden_layers: 2, espalier: { removed: both } });
    const last = await freshFolder();
    await prune(source, ['block.1.attention', 'block.1.feedforward'], last);
    expect(readConfig(last)).toEqual({
      ...readConfig(source),
      num_hidden_layers: 1,
    });
  });

  it('are loaded by the class of their head', async () => {
    const out = await freshFolder();
    const result = await prune(encoderFixture('vit-classes'), ['block.1.attention'], out);
    expect(inEnglish(result.loadsWith)).toContain(
      'AutoModelForImageClassification.from_pretrained(folder, ',
    );
    expect(readConfig(out)).toMatchObject({
      model_type: 'espalier-vit',
      architectures: ['EspalierViTForImageClassification'],
      auto_map: {
        AutoConfig: 'modeling_espalier.EspalierViTConfig',
        AutoModelForImageClassification: 'modeling_espalier.EspalierViTForImageClassification',
      },
    });
    const again = await freshFolder();
    await prune(out, ['block.1.feedforward'], again);
    expect(readConfig(again)).toEqual({
      ...readConfig(encoderFixture('vit-classes')),
      num_hidden_layers: 1,
    });
    expect(existsSync(join(again, 'modeling_espalier.py'))).toBe(false);
  });

  it('keep post-norms, also with zeros for the sublayer, and when pruned again', async () => {
    const source = encoderFixture('bert-masked');
    const { examples, removed } = encoderGolden('bert-masked');
    const [, , both] = removed;
    const [first = '', second = ''] = both?.removed ?? [];
    const zeroed = await freshFolder();
    await prune(source, [first, second], zeroed, { layout: 'zeroed' });
    expect(
      relativeError(await encoderOutput(zeroed, examples), both?.output ?? new Float32Array()),
    ).toBeLessThan(1e-5);
    const once = await freshFolder();
    await prune(source, [first], once);
    const twice = await freshFolder();
    await prune(once, [second], twice);
    expect(
      relativeError(await encoderOutput(twice, examples), both?.output ?? new Float32Array()),
    ).toBeLessThan(1e-5);
    const { summary } = await openModel(twice);
    expect(summary.absent).toEqual([first, second]);
    expect(summary.sublayers.every(({ leavesParts }) => leavesParts)).toBe(true);
  });

  it('list the remaining modules in Python', async () => {
    const out = await freshFolder();
    await prune(encoderFixture('bert-plain'), ['block.0.feedforward', 'block.1.attention'], out);
    const text = readFileSync(join(out, 'modeling_espalier.py'), 'utf8');
    expect(text).toContain('class EspalierBertModel(BertModel):');
    expect(text).toContain('layers = self.encoder.layer');
    const replaced = [...text.matchAll(/layer\.([\w.]+) = (.+)/g)].map(([, name, by]) => [
      name,
      by,
    ]);
    expect(replaced).toEqual([
      ['attention.self', 'NoAttention()'],
      ['attention.output', 'KeptNorm(layer.attention.output)'],
      ['intermediate', 'nn.Identity()'],
      ['output', 'KeptNorm(layer.output)'],
    ]);
  });
});

describe('pruned encoders with code on the hub', () => {
  it.each(hubNames)('of %s are zeroed folders or ONNX', async (name) => {
    const source = encoderFixture(name);
    const { examples, removed } = encoderGolden(name);
    const [one] = removed;
    const single = one?.removed ?? [];
    await expect(prune(source, single, await freshFolder())).rejects.toMatchObject({
      code: 'no-modeling-file',
    });
    const zeroed = await freshFolder();
    const { loadsWith } = await prune(source, single, zeroed, { layout: 'zeroed' });
    expect(inEnglish(loadsWith)).toContain('auto_map');
    const onnx = await prune(source, single, await freshFolder(), { format: 'onnx' });
    expect(onnx.verification.relativeError).toBeLessThan(1e-5);
    for (const folder of [zeroed, onnx.path]) {
      const output = await encoderOutput(folder, examples);
      expect(relativeError(output, one?.output ?? output)).toBeLessThan(1e-4);
    }
  });

  it('have MoE layers that add nothing, including their bias', async () => {
    const { examples, removed } = encoderGolden('nomic-mixtures');
    const [, mixture] = removed;
    expect(mixture?.removed).toEqual(['block.1.expert']);
    const out = await freshFolder();
    const source = encoderFixture('nomic-mixtures');
    await prune(source, mixture?.removed ?? [], out, { layout: 'zeroed' });
    const output = await encoderOutput(out, examples);
    expect(relativeError(output, mixture?.output ?? new Float32Array())).toBeLessThan(1e-4);
  });

  it('are written without whole blocks if no norms stay', async () => {
    const source = encoderFixture('neobert');
    const { examples, removed } = encoderGolden('neobert');
    const whole = removed.at(-1);
    const out = await freshFolder();
    await prune(source, whole?.removed ?? [], out);
    expect(readConfig(out)).toEqual({ ...readConfig(source), num_hidden_layers: 1 });
    const output = await encoderOutput(out, examples);
    expect(relativeError(output, whole?.output ?? new Float32Array())).toBeLessThan(1e-4);
    const post = encoderGolden('jina-bert').removed.at(-1)?.removed ?? [];
    const refused = prune(encoderFixture('jina-bert'), post, await freshFolder());
    await expect(refused).rejects.toMatchObject({ code: 'no-modeling-file' });
  });
});
