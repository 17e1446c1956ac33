import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { storeEncodings } from '../../../extension/core/models/encodings/store-encodings';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import { chooseForAll } from '../../../extension/core/pipelines/compression/layer-choices';
import { parseCompression } from '../../../extension/core/tensornet/compression-choice';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import { encoderOutput, seq2seqFixture, seq2seqGolden } from '../encoder-fixtures';
import { denseValues, formNames, formsInTurn } from '../export/all-forms';
import { prune, readConfig } from '../export/pruning';
import { relativeError } from '../fixtures';
import { paired, runsAllCases } from '../sample';
import { temporaryFolder } from '../temporary-folder';
import { withLetters } from './with-letters';

const out = temporaryFolder();
let count = 0;
const fresh = (): string => join(out, `${count++}`);
const run = { device: 'cpu', memoryBytes: 1 << 28 } as const;
const removed = ['block.0.attention', 'block.3.cross-attention'];
const floats = formNames.filter((name) => /^(?:low rank|mpo, \w+)$/.test(name));

/** Norms before or after the sum, with and without biases; mBART's sublayers are those of Whisper. */
const models = ['t5-gated', 'bart', 'whisper', ...(runsAllCases ? ['mbart'] : [])];

const stored = [
  ['floats', floats],
  ['every form', formNames],
] as const;

describe('an encoder–decoder model that is compressed', () => {
  it.each(paired(models, stored).map(([name, [label, names]]) => [name, label, names] as const))(
    '%s stores %s in its linear layers, and opens again',
    async (name, label, names) => {
      const folder = seq2seqFixture(name);
      const { examples } = seq2seqGolden(name);
      const model = await openModel(folder);
      const layers = model.summary.sublayers.flatMap(({ id }, index) =>
        removed.includes(id) ? [] : [...model.sublayer(index).linearLayers],
      );
      const forms = formsInTurn(layers, names);
      const matrices = await storeEncodings(`${fresh()}.safetensors`, forms);
      const memorySource = model.withMatrices(matrices);
      const expected = await encoderOutput(memorySource, examples, removed);
      if (label === 'floats') {
        const values = await storeEncodings(`${fresh()}.safetensors`, denseValues(forms, layers));
        const dense = await encoderOutput(model.withMatrices(values), examples, removed);
        expect(relativeError(expected, dense)).toBeLessThan(1e-4);
      }
      const written = await prune(folder, removed, fresh(), { matrices });
      expect(written).toMatchObject({ layout: 'auto-map' });
      expect(relativeError(await encoderOutput(written.path, examples), expected)).toBe(0);
      const { summary } = await openModel(written.path);
      expect(summary.warnings).toEqual([]);
      expect(summary.parameters).toBeLessThan(model.summary.parameters);
      const { espalier } = readConfig(written.path) as {
        espalier: { compressed: Record<string, Record<string, unknown>> };
      };
      expect(
        Object.values(espalier.compressed).flatMap((forms) => Object.keys(forms)),
      ).toHaveLength(layers.length);
      // A compressed model is pruned and written again.
      const again = await prune(written.path, ['block.1.feedforward'], fresh());
      const twice = [...removed, 'block.1.feedforward'];
      const both = await encoderOutput(memorySource, examples, twice);
      expect(relativeError(await encoderOutput(again.path, examples), both)).toBe(0);
      const graph = await prune(folder, removed, fresh(), { format: 'onnx', matrices });
      // Inputs that are rounded to 8 bits may be rounded otherwise in one graph.
      const { relativeError: error, tolerance } = graph.verification;
      expect(error).toBeLessThan(label === 'floats' ? 1e-5 : tolerance);
    },
  );
});

describe('an encoder–decoder model', async () => {
  const folder = withLetters('t5-gated', join(out, 'letters'));
  const text = join(out, 'text.txt');
  writeFileSync(text, 'the model reads a text and the text is long enough to fit\n'.repeat(60));
  const model = await openModelFiles(folder);
  const tensors = model.model.summary.sublayers.flatMap((_, index) =>
    model.model.sublayer(index).linearLayers.map(({ id, role }) => ({ id, role })),
  );

  it('names keys and values of the source among its linear layers', () => {
    expect(model.capabilities).toMatchObject({ compress: { able: true } });
    // Blocks of the encoder have four matrices and a gated feed-forward, those of the decoder four more.
    expect(tensors).toHaveLength(3 * 7 + 2 * 11);
    const place = 'decoder.block.1.layer.1.EncDecAttention';
    expect(tensors.filter(({ id }) => id.startsWith(place))).toEqual(
      (['query', 'key', 'value', 'output'] as const).map((role) => ({
        id: `${place}.${role.charAt(0)}.weight`,
        role,
      })),
    );
  });

  it.each(['int8', 'int4', 'lowrank:50%:covariance', 'mpo:50%'])(
    'is compressed by %s, fitted to the inputs of both towers',
    async (method) => {
      const { choices } = chooseForAll(model.model, parseCompression(method), {});
      const calibration = { request: { file: text, sequences: 4, length: 32 }, bundledText: text };
      const result = await compressModel(
        { ...run, model, choices, out: fresh(), overwrite: false, calibration },
        unattended,
      );
      expect(result.layers).toHaveLength(tensors.length);
      expect(result.layers.every(({ error }) => error < 1)).toBe(true);
      const { summary } = await openModel(result.path);
      expect(summary.bytes).toBeLessThan(model.summary.bytes);
      expect(readFileSync(join(result.path, 'modeling_espalier.py'), 'utf8')).toContain(
        'layer.set_submodule',
      );
    },
  );

  it('has a sensitivity profile of both towers', async () => {
    const profile = await profileSensitivity(
      {
        ...{ ...run, model, calibration: { file: text, sequences: 2, length: 24 } },
        settings: {
          compressions: [
            { method: 'lowrank', ratio: 0.5 },
            { method: 'int4', setting: 16 },
          ],
          ...{ metric: 'js', roles: [], blocks: [], precision: 0, seed: 1 },
        },
        out: join(out, 'letters.sensitivity.json'),
        journal: join(out, 'letters.journal.jsonl'),
      },
      { bundledText: text, version: 'test' },
      unattended,
    );
    expect(profile.layers.map(({ tensor }) => tensor).sort()).toEqual(
      tensors.map(({ id }) => id).sort(),
    );
    for (const { entries } of profile.layers) {
      expect(entries.every(({ distance }) => distance > 0 && Number.isFinite(distance))).toBe(true);
    }
  });
});
