import { describe, expect, it } from 'vitest';
import { orDefaults } from '../../../extension/core/data/calibration-defaults';
import { chooseForAll } from '../../../extension/core/pipelines/compression/layer-choices';
import { calibrationFor } from '../../../extension/core/pipelines/compression/start-calibration';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { openModel } from '../../../extension/core/models/open-model';
import { parseCompression } from '../../../extension/core/tensornet/compression-choice';
import { makeRandomModel } from '../random-model';

const sample = 'samples/espalier-sample';

async function defaultSource(
  path: string,
  method: string,
): Promise<ReturnType<typeof calibrationFor>> {
  const model = await openModel(path);
  return calibrationFor(model, chooseForAll(model, parseCompression(method), {}).choices);
}

describe('the default calibration', () => {
  it('equals the text of a search if a method uses no directions, or only the nearest inputs', async () => {
    for (const method of ['int8', 'int4', 'mpo:50%']) {
      expect(await defaultSource(sample, method)).toEqual({ sequences: 10, length: 256 });
    }
  });

  it('is 16 tokens per input of the widest layer for low rank, if there are enough', async () => {
    const { sequences, length, upTo } = await defaultSource(sample, 'lowrank:50%');
    // The down projection has 320 inputs.
    expect(sequences * length).toBe(16 * 320);
    expect(upTo).toBe(true);
    const model = await openModel(sample);
    const narrow = chooseForAll(model, parseCompression('lowrank:50%'), { roles: ['query'] });
    expect(calibrationFor(model, narrow.choices).sequences * 256).toBe(16 * 192);
  });

  it('has an end, and windows that the model can read', async () => {
    const model = await openModel(await makeRandomModel({ seed: 1, blocks: 1 }));
    const { choices } = chooseForAll(model, parseCompression('lowrank:1'), {});
    const of = (inputs: number, maxPositions: number): ReturnType<typeof calibrationFor> => {
      const wide: LayeredModel = {
        ...model,
        embeddingAndHeadMatrices: model.embeddingAndHeadMatrices,
        summary: { ...model.summary, maxPositions },
        requireRunnable: () => undefined,
        sublayer: (index) => {
          const sublayer = model.sublayer(index);
          const value = sublayer.linearLayers.map((layer) => ({ ...layer, in: inputs }));
          return Object.create(sublayer, { linearLayers: { value } }) as typeof sublayer;
        },
      };
      return calibrationFor(wide, choices);
    };
    expect(of(1_000_000, 100)).toEqual({ sequences: 328, length: 100, upTo: true });
    expect(of(4096, 2048)).toEqual({ sequences: 128, length: 256, upTo: true });
  });
});

describe('requested calibration text', () => {
  const much = { sequences: 96, length: 256, upTo: true };

  it('overrides the default, which fills missing fields', () => {
    expect(orDefaults({}, much)).toEqual(much);
    expect(orDefaults({ file: 'a.txt', length: 64 }, much)).toEqual({
      ...{ file: 'a.txt', sequences: 96, length: 64, upTo: true },
    });
  });

  it('has its number of sequences or fails', () => {
    expect(orDefaults({ sequences: 5 }, much)).toEqual({ sequences: 5, length: 256 });
  });
});
