import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { storeEncodings } from '../../../extension/core/models/encodings/store-encodings';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { denseValues, formNames, formsInTurn } from '../export/all-forms';
import { prune, readConfig } from '../export/pruning';
import { relativeError, stagedFixture } from '../fixtures';
import { paired, runsAllCases } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { stagedGolden, stagedImage, stagedLogits } from './staged-golden';

const out = temporaryFolder();
let count = 0;
const fresh = (): string => join(out, `${count++}`);
const floats = formNames.filter((name) => /^(?:low rank|mpo, \w+)$/.test(name));

/** Families that have convolutions only. */
const unlayered = ['bit', 'efficientnet', 'mobilenet_v2', 'poolformer', 'regnet', 'resnet'];

/** Swin has the linear layers of Swin V2. */
const layered = ['convnext', 'focalnet', 'pvt', 'segformer', 'swinv2'];

const stored = [
  ['floats', floats],
  ['every form', formNames],
] as const;

describe('a model of stages that is compressed', () => {
  const models = [...layered, ...(runsAllCases ? ['swin'] : [])];

  it.each(paired(models, stored).map(([name, [label, names]]) => [name, label, names] as const))(
    '%s stores %s in its linear layers, and opens again',
    async (name, label, names) => {
      const folder = stagedFixture(name);
      const { examples } = stagedGolden(name);
      const model = await openModel(folder);
      const { sublayers } = model.summary;
      const removed = [sublayers.at(-1)?.id ?? ''];
      const layers = sublayers.flatMap(({ id }, index) =>
        removed.includes(id) ? [] : [...model.sublayer(index).linearLayers],
      );
      expect(new Set(layers.map(({ id }) => id)).size).toBe(layers.length);
      const forms = formsInTurn(layers, names);
      const matrices = await storeEncodings(`${fresh()}.safetensors`, forms);
      const memorySource = model.withMatrices(matrices);
      const expected = await stagedLogits(memorySource, examples, removed);
      if (label === 'floats') {
        const values = await storeEncodings(`${fresh()}.safetensors`, denseValues(forms, layers));
        const dense = await stagedLogits(model.withMatrices(values), examples, removed);
        expect(relativeError(expected, dense)).toBeLessThan(1e-4);
        const original = await stagedLogits(model, examples, removed);
        expect(relativeError(expected, original)).toBeGreaterThan(1e-3);
      }
      const image = stagedImage(name, out);
      const written = await prune(folder, removed, fresh(), { matrices, examples: image });
      expect(written).toMatchObject({ layout: 'auto-map' });
      const opened = await openModel(written.path);
      expect(relativeError(await stagedLogits(opened, examples), expected)).toBe(0);
      expect(opened.summary.warnings).toEqual([]);
      const toBytes = (ids: readonly { id: string; bytes: number }[]): Map<string, number> =>
        new Map(ids.map(({ id, bytes }) => [id, bytes]));
      const known = toBytes(memorySource.summary.sublayers);
      for (const { id, bytes } of opened.summary.sublayers) {
        expect(bytes, id).toBe(known.get(id));
      }
      const { espalier } = readConfig(written.path) as {
        espalier: { compressed: Record<string, Record<string, unknown>> };
      };
      const stored = Object.values(espalier.compressed).flatMap((one) => Object.keys(one));
      expect(stored).toHaveLength(layers.length);
      // A compressed model is pruned and written again.
      const second = sublayers[0]?.id ?? '';
      const again = await prune(written.path, [second], fresh(), { examples: image });
      const both = await stagedLogits(memorySource, examples, [...removed, second]);
      expect(relativeError(await stagedLogits(again.path, examples), both)).toBe(0);
      const graph = await prune(folder, removed, fresh(), {
        ...{ format: 'onnx', matrices, examples: image },
      });
      const { relativeError: error, tolerance } = graph.verification;
      expect(error).toBeLessThan(label === 'floats' ? 1e-5 : tolerance);
    },
  );

  it.each(models)('%s can be compressed and repaired, with the exceptions listed', async (name) => {
    const { capabilities } = await openModelFiles(stagedFixture(name));
    expect(capabilities).toMatchObject({
      compress: { able: true },
      repair: { able: true },
      patch: { code: 'several-widths' },
    });
  });
});

describe.each(unlayered)('%s', (name) => {
  it('has no linear layer to compress', async () => {
    const { capabilities } = await openModelFiles(stagedFixture(name));
    expect(capabilities).toMatchObject({ compress: { code: 'nothing-to-compress' } });
  });
});
