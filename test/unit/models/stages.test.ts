import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeFlow } from '../../../extension/core/inspect/flow/diagrams';
import { inEnglish } from '../../../extension/core/message';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { knownStaged } from '../../../extension/core/models/stages/staged-families';
import { prune, readConfig, rejection } from '../export/pruning';
import { relativeError, stagedFixture, stagedNames } from '../fixtures';
import { runSearch } from '../prune/run-search';
import { modelFeatures, sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { stagedGolden, stagedImage, stagedLogits } from './staged-golden';

const out = temporaryFolder();

/** The model with other fields in its config.json. */
function withFields(name: string, fields: Readonly<Record<string, unknown>>): string {
  const folder = join(
    out,
    `${name}-${Object.keys(fields).join('-')}-${Object.values(fields).join('-')}`,
  );
  cpSync(stagedFixture(name), folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...readConfig(folder), ...fields }));
  return folder;
}

/**
 * What the same weights give with other fields, of images [height, width] whose numbers are sin(0), sin(1), …: logits of
 * transformers 5.24.
 */
const otherForms: readonly [
  name: string,
  fields: Readonly<Record<string, unknown>>,
  image: readonly [number, number],
  logits: readonly number[],
][] = [
  ['focalnet', { layer_norm_eps: 0.1 }, [16, 16], [0.2746831, -0.2503522]],
  ['focalnet', {}, [9, 10], [0.1704036, -0.1782469]],
  ['swinv2', { image_size: 14 }, [14, 14], [-1.124486, 0.5279127]],
  ['swinv2', { image_size: [12, 4] }, [12, 4], [-2.473766, 0.496378]],
  ['swin', { image_size: [12, 15] }, [12, 15], [1.704, -0.2556671]],
  ['mobilenet_v2', { output_stride: 8 }, [33, 31], [-1.880474, -1.246324]],
  ['mobilenet_v2', { tf_padding: false }, [33, 31], [-1.899817, -1.490375]],
  ['efficientnet', { depthwise_padding: [1, 2, 3, 4, 5] }, [33, 31], [-0.1978216, 0.05732259]],
  [
    'resnet',
    { downsample_in_bottleneck: true, downsample_in_first_stage: true },
    [33, 31],
    [4.503527, -4.732673],
  ],
];

/** Models that are written: one for each set of features. */
const written = await sampled(stagedNames, async (name) => {
  const counts = knownStaged(name)?.config.pruned !== undefined;
  return `${String(counts)} ${await modelFeatures(stagedFixture(name))}`;
});

describe.each(stagedNames)('%s', (name) => {
  const folder = stagedFixture(name);
  const { examples, output } = stagedGolden(name);

  it('has the logits of transformers, every tensor used', async () => {
    expect(relativeError(await stagedLogits(folder, examples), output)).toBeLessThan(1e-4);
    const { summary } = await openModel(folder);
    expect(summary.warnings.map(inEnglish)).toEqual([]);
    expect(
      summary.sublayers.every(({ parameters }) => parameters > 0 || name === 'poolformer'),
    ).toBe(true);
  });

  if (!written.includes(name)) return;
  it('can be pruned of a whole block through its config.json, and of single sublayers', async () => {
    const { summary } = await openModel(folder);
    const counts = knownStaged(name)?.config.pruned !== undefined;
    const ids = summary.sublayers.filter(({ block }) => block === 1).map(({ id }) => id);
    const result = await prune(folder, ids, join(out, name), { examples: stagedImage(name, out) });
    expect(result).toMatchObject({ layout: counts ? 'blocks' : 'auto-map', removed: ids });
    expect(result.verification.relativeError).toBeLessThan(1e-5);
    const pruned = await openModel(result.path);
    expect(pruned.summary.blocks).toBe(summary.blocks - Number(counts));
    expect(pruned.summary.sublayers).toHaveLength(summary.sublayers.length - ids.length);
    const last = summary.sublayers.at(-1)?.id ?? '';
    const whole = summary.sublayers.filter(({ block }) => block === 0).length === 1;
    const single = await prune(folder, [last], join(out, `${name}-single`), {
      examples: stagedImage(name, out),
    });
    expect(single.layout).toBe(whole && counts ? 'blocks' : 'auto-map');
    expect(single.verification.relativeError).toBeLessThan(1e-5);
  });
});

describe('a model of stages', () => {
  it.each(otherForms)(
    '%s with %j has the logits of transformers for %j pixels',
    async (...form) => {
      const [name, fields, [height, width], logits] = form;
      const dims = [1, 3, height, width];
      const data = Float32Array.from({ length: 3 * height * width }, (_, i) => Math.sin(i));
      const found = await stagedLogits(withFields(name, fields), [
        { pixel_values: { dtype: 'F32', dims, data } },
      ]);
      expect(relativeError(found, Float32Array.from(logits))).toBeLessThan(1e-4);
    },
  );

  it('names the class of its head if config.json names none', async () => {
    const folder = withFields('mobilenet_v2', { architectures: undefined });
    const { sublayers } = (await openModel(folder)).summary;
    const { path } = await prune(folder, [sublayers[0]?.id ?? ''], join(out, 'unnamed'), {
      examples: stagedImage('mobilenet_v2', out),
    });
    expect(readConfig(path)).toMatchObject({
      architectures: ['EspalierMobileNetV2ForImageClassification'],
    });
  });

  it('of more blocks than there can be is refused', async () => {
    const folder = withFields('efficientnet', {
      depth_coefficient: 65_536,
      num_block_repeats: [65_536],
    });
    await expect(openModel(folder)).rejects.toMatchObject({
      subject: { field: 'num_block_repeats' },
    });
  });

  it('of convolutions alone reports that it cannot be compressed, repaired or patched', async () => {
    const { capabilities, model } = await openModelFiles(stagedFixture('resnet'));
    expect(capabilities).toMatchObject({
      run: { able: true },
      removeBlocks: { able: true },
      compress: { code: 'nothing-to-compress' },
      repair: { code: 'nothing-to-compress' },
      patch: { code: 'several-widths' },
    });
    expect(() => model.withPatches(new Map())).toFailWith({
      code: 'patches-unsupported',
      file: 'resnet',
    });
  });

  it.each(['resnet', 'swin', 'pvt'])('%s is written as a graph, and drawn', async (name) => {
    const folder = stagedFixture(name);
    const { summary } = await openModel(folder);
    const ids = summary.sublayers.slice(0, 1).map(({ id }) => id);
    const result = await prune(folder, ids, join(out, `${name}-onnx`), {
      format: 'onnx',
      examples: stagedImage(name, out),
    });
    expect(result.verification.relativeError).toBeLessThan(1e-5);
    const flow = await describeFlow(folder);
    expect(flow).toMatchObject({ source: 'architecture', omitted: 0 });
    const drawn = JSON.stringify(flow);
    expect(summary.sublayers.filter(({ id }) => !drawn.includes(`"${id}"`))).toEqual([]);
  });

  it('is zeroed like others', async () => {
    const folder = stagedFixture('regnet');
    const { examples } = stagedGolden('regnet');
    const ids = ['block.1.convolution'];
    const { path } = await prune(folder, ids, join(out, 'zeroed'), {
      layout: 'zeroed',
      examples: stagedImage('regnet', out),
    });
    const without = await stagedLogits(folder, examples, ids);
    expect(relativeError(await stagedLogits(path, examples), without)).toBeLessThan(1e-5);
    expect(relativeError(without, stagedGolden('regnet').output)).toBeGreaterThan(1e-3);
    expect(readConfig(path)).toEqual(readConfig(folder));
  });

  it.each([
    ['swin', 'block.0', /would swap the ones after it/],
    ['swin', 'block.2', /would swap the ones after it/],
  ])(
    '%s without %s is refused, since other blocks would compute otherwise',
    async (name, block, reason) => {
      const { summary } = await openModel(stagedFixture(name));
      const ids = summary.sublayers
        .filter(({ id }) => id.startsWith(`${block}.`))
        .map(({ id }) => id);
      const refused = await rejection(prune(stagedFixture(name), ids, join(out, 'refused')));
      expect(refused.message).toMatch(reason);
    },
  );

  it.each([
    ['resnet', 'depths', [1e9, 2]],
    ['focalnet', 'embed_dim', 'wide'],
    ['swin', 'image_size', -1],
    ['convnext', 'hidden_act', 'mystery'],
    ['bit', 'global_padding', 'SAME'],
    ['segformer', 'architectures', ['SegformerForSemanticSegmentation']],
  ])('%s with another %s is refused, naming it', async (name, field, value) => {
    const folder = withFields(name, { [field]: value });
    const { subject } = await rejection(openModel(folder));
    expect(subject).toMatchObject({ file: join(folder, 'config.json'), field });
  });

  it('counts everything before a change of size as one step, if streams are compared', async () => {
    const { examples } = stagedGolden('convnext');
    const found = await runSearch({
      folder: stagedFixture('convnext'),
      sequences: examples.slice(0, 1),
      settings: { mode: 'naive', metric: 'js', budget: { kind: 'count', count: 1 } },
    });
    const distances = found.cosineLocal.map(({ distance }) => distance);
    expect(distances.every((distance) => Number.isFinite(distance))).toBe(true);
    expect(distances).toHaveLength(4);
    expect(distances[1]).toBe(1);
  });
});
