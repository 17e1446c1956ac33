import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import type { CompressResult } from '../../../extension/core/pipelines/compression/compress-model';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import type { EmbeddingOrHeadPlace } from '../../../extension/core/models/matrix-encoding';
import { openModelFiles } from '../../../extension/core/models/open-model';
import type { Budget } from '../../../extension/core/tensornet/budget/budget-limits';
import { planForBudget } from '../../../extension/core/tensornet/budget/plan-for-budget';
import type { RefinedPlan } from '../../../extension/core/tensornet/budget/refine-plan';
import { planUnderBudget } from '../../../extension/core/tensornet/budget/plan-under-budget';
import type { CompressionChoice } from '../../../extension/core/tensornet/compression-choice';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import type {
  SensitivityEvent,
  SensitivitySettings,
  SensitivityProfile,
} from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { parseSensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile-schema';
import {
  withEmbeddingAndHead,
  withSchemes,
} from '../../../extension/core/tensornet/sensitivity/schemes';
import { fixture } from '../fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { measureDistance } from './whole-distance';

const folder = temporaryFolder();
let count = 0;
const fresh = (): string => join(folder, `${count++}`);
const calibration = { file: 'random', sequences: 3, length: 12 };
const bundledText = '';
const both: readonly EmbeddingOrHeadPlace[] = ['embedding', 'head'];
const run = { device: 'cpu', memoryBytes: 1 << 28 } as const;

async function profile(
  model: string,
  changes: Partial<SensitivitySettings> = {},
  context: JobContext<SensitivityEvent> = unattended,
  journal = fresh(),
): Promise<SensitivityProfile> {
  return profileSensitivity(
    {
      ...{ model: await openModelFiles(model), calibration, ...run, out: undefined, journal },
      settings: {
        compressions: [
          { method: 'int8', setting: 0, variant: 'rtn' },
          { method: 'int4', setting: 16 },
          { method: 'lowrank', ratio: 0.5 },
        ],
        metric: 'kl',
        roles: ['up', 'down'],
        blocks: [],
        precision: 0,
        embeddingAndHead: both,
        seed: 1,
        ...changes,
      },
    },
    { bundledText, version: 'test' },
    context,
  );
}

async function compressed(
  modelPath: string,
  choices: readonly CompressionChoice[],
): Promise<CompressResult> {
  return compressModel(
    { model: await openModelFiles(modelPath), choices, out: fresh(), overwrite: false, ...run },
    unattended,
  );
}

describe.each([
  ['a folder', fixture('llama-gqa-untied'), 2],
  ['a folder where they are one', fixture('llama-tied-f16'), 1],
  ['a graph', onnxFixture('llama-legacy'), 2],
])('embedding and head of %s', (_, source, matrices) => {
  let table: SensitivityProfile;
  beforeAll(async () => {
    table = await profile(source);
  });

  it('are measured as compressing them alone leaves the model', async () => {
    const { embeddingAndHead = [] } = table;
    expect(embeddingAndHead.map(({ place }) => place)).toEqual(both.slice(0, matrices));
    for (const { tensor, tiedTo, entries } of embeddingAndHead) {
      expect(tiedTo !== undefined).toBe(matrices === 1);
      expect(entries.map(({ method }) => method)).toEqual(['int8', 'int4']);
      for (const { method, setting, distance, bytes: after, outputError } of entries) {
        const ids = tiedTo === undefined ? [tensor] : [tensor, tiedTo];
        const choices = ids.map((id) => ({ tensor: id, method, setting }));
        const { path, layers } = await compressed(source, choices);
        expect(distance / (await measureDistance(path, source, calibration, 1))).toBeCloseTo(1, 3);
        expect(distance).toBeGreaterThan(1e-9);
        expect(layers.reduce((sum, layer) => sum + layer.bytes, 0)).toBe(after);
        expect(outputError).toBeUndefined();
      }
    }
  });

  it('cost FLOPs if they multiply', () => {
    const [embedding, head = embedding] = table.embeddingAndHead ?? [];
    expect(embedding?.flopsPerToken === 0).toBe(matrices === 2);
    expect(head?.flopsPerToken).toBe(2 * (head?.out ?? 0) * (head?.in ?? 0));
  });

  it('allow smaller budgets', async () => {
    const least = async (of: SensitivityProfile): Promise<number> => {
      for (let percent = 5; percent < 100; percent += 5) {
        const budget: Budget = { limits: [{ unit: 'bytes', ratio: percent / 100 }] };
        const plan = await planUnderBudget(of, budget).catch(() => undefined);
        if (plan !== undefined) {
          return percent;
        }
      }
      return 100;
    };
    expect(await least(table)).toBeLessThan(await least(withEmbeddingAndHead(table, [])));
  });

  const plan = async (
    of: SensitivityProfile,
    ratio: number,
    rounds: number,
  ): Promise<RefinedPlan> =>
    planForBudget(
      {
        ...{
          model: await openModelFiles(source),
          table: of,
          budget: { limits: [{ unit: 'bytes', ratio }] },
          rounds,
        },
        ...{ calibration, bundledText, folder: fresh(), ...run },
      },
      unattended,
    );

  it('are part of a plan that is measured as written', async () => {
    // Rounded without calibration, so that what is written is what was measured.
    const rounded = withSchemes(table, [{ method: 'int8', variant: 'rtn' }]);
    const embeddingAndHead = rounded.embeddingAndHead ?? [];
    const saved = [...rounded.layers, ...embeddingAndHead].reduce(
      (sum, { bytes, entries: [entry] }) => sum + bytes - (entry?.bytes ?? bytes),
      0,
    );
    const ratio = 1.01 - saved / table.model.bytes;
    const { compress, cost, costBefore, distance } = await plan(rounded, ratio, 0);
    expect(costBefore).toBe(table.model.bytes);
    expect(cost).toBeLessThanOrEqual(ratio * costBefore);
    const outside = embeddingAndHead.flatMap(({ tensor, tiedTo }) =>
      tiedTo === undefined ? [tensor] : [tensor, tiedTo],
    );
    expect(compress.some(({ tensor }) => outside.includes(tensor))).toBe(true);
    const { path, layers } = await compressed(source, compress);
    expect(distance / (await measureDistance(path, source, calibration, 1))).toBeCloseTo(1, 3);
    const chosen = [...rounded.layers, ...embeddingAndHead].filter(({ tensor }) =>
      compress.some((choice) => choice.tensor === tensor),
    );
    const before = chosen.reduce((sum, { bytes }) => sum + bytes, 0);
    const after = layers.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(cost).toBe(costBefore - before + after);
  });

  it('are undone in turn while a plan is refined', async () => {
    const refined = await plan(table, 0.85, 2);
    expect(refined.distance).toBe(Math.min(...refined.tried));
    expect(refined.distance).toBeGreaterThan(0);
  });

  it('are counted in the work of a model, as far as they multiply', async () => {
    const { costBefore } = await planUnderBudget(table, {
      limits: [{ unit: 'flops', ratio: 0.99 }],
    });
    const sublayers = table.model.sublayers.reduce((sum, one) => sum + one.flopsPerToken, 0);
    expect(costBefore).toBe(sublayers + (table.embeddingAndHead?.at(-1)?.flopsPerToken ?? 0));
  });

  it('are a document', () => {
    expect(parseSensitivityProfile(JSON.stringify(table), 'table').embeddingAndHead).toEqual(
      table.embeddingAndHead,
    );
  });

  it('are left out of a table by schemes and places', () => {
    const { embeddingAndHead = [] } = withSchemes(table, [{ method: 'int4' }]);
    expect(embeddingAndHead.flatMap(({ entries }) => entries.map(({ method }) => method))).toEqual(
      Array.from({ length: matrices }, () => 'int4'),
    );
    expect(withEmbeddingAndHead(table, []).embeddingAndHead).toBeUndefined();
    expect(withEmbeddingAndHead(table, both)).toEqual(table);
    expect(() => withEmbeddingAndHead(withEmbeddingAndHead(table, []), ['head'])).toFailWith({
      code: 'profile-embedding-missing',
      field: 'embeddingAndHead',
    });
  });
});

describe('asking for embedding or head', () => {
  it('resumes after a stop', async () => {
    const source = fixture('llama-gqa-untied');
    const table = await profile(source);
    const cancellation = { isCancellationRequested: false };
    let seen = 0;
    const journal = fresh();
    const stopping: JobContext<SensitivityEvent> = {
      ...unattended,
      cancellation,
      emit: ({ kind }) => {
        seen += kind === 'sensitivity-entry' ? 1 : 0;
        cancellation.isCancellationRequested = seen > 1;
      },
    };
    await expect(profile(source, {}, stopping, journal)).rejects.toThrow(CancelledError);
    const anew: string[] = [];
    const resumed = await profile(
      source,
      {},
      {
        ...unattended,
        emit: (event) => {
          if (event.kind === 'sensitivity-entry') anew.push(event.tensor);
        },
      },
      journal,
    );
    expect(anew).not.toContain(table.embeddingAndHead?.[0]?.tensor);
    expect([resumed.embeddingAndHead, resumed.layers]).toEqual([
      table.embeddingAndHead,
      table.layers,
    ]);
  });

  it('measures one of two', async () => {
    const { embeddingAndHead = [] } = await profile(fixture('llama-gqa-untied'), {
      embeddingAndHead: ['head'],
    });
    expect(embeddingAndHead.map(({ place }) => place)).toEqual(['head']);
  });

  it('is refused if they are tied, no method quantizes them, or there are none', async () => {
    const tied = fixture('llama-tied-f16');
    await expect(profile(tied, { embeddingAndHead: ['embedding'] })).rejects.toFailWith({
      code: 'embeddings-tied',
      file: 'llama-tied-f16',
      field: 'embedding',
    });
    await expect(profile(tied, { compressions: [{ method: 'mpo' }] })).rejects.toThrow(
      'Add one of int8, int4',
    );
    const encoder = fixture('../encoders/bert-plain');
    await expect(profile(encoder, { embeddingAndHead: ['head'] })).rejects.toFailWith({
      code: 'embedding-missing',
      file: 'bert-plain',
      field: 'head',
    });
    const table = await profile(tied, {
      compressions: [{ method: 'int8', setting: 0 }],
      blocks: [0],
      precision: 0,
    });
    expect(() => withEmbeddingAndHead(table, ['embedding'])).toFailWith({
      code: 'embeddings-tied',
      field: 'embedding',
    });
  });
});
