import { writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { evaluateModels } from '../../extension/core/evaluate/evaluate-models';
import { applyPlan } from '../../extension/core/pipelines/apply-plan';
import type { PlanApplication } from '../../extension/core/pipelines/apply-plan';
import { chooseForAll } from '../../extension/core/pipelines/compression/layer-choices';
import { calibrationFor } from '../../extension/core/pipelines/compression/start-calibration';
import { repairModel } from '../../extension/core/pipelines/compression/repair-model';
import { foreseeRefusals, listOutputs } from '../../extension/core/export/writable';
import { generateTexts } from '../../extension/core/generate/generate';
import { describeModel } from '../../extension/core/inspect/describe-model';
import { describeFlow } from '../../extension/core/inspect/flow/diagrams';
import { unattended } from '../../extension/core/jobs/job';
import { ModelCache } from '../../extension/core/models/model-cache';
import { defaultSettings } from '../../extension/core/prune/options';
import { profileModel } from '../../extension/core/prune/profile-model';
import { planForBudget } from '../../extension/core/tensornet/budget/plan-for-budget';
import { parseCompression } from '../../extension/core/tensornet/compression-choice';
import { defaultRepair } from '../../extension/core/tensornet/repair/repair-settings';
import { profileSensitivity } from '../../extension/core/tensornet/sensitivity/profile-sensitivity';
import { fixture } from './fixtures';
import { ggufFixture } from './gguf-fixtures';
import { onnxFixture } from './onnx-fixtures';
import { makeRandomModel } from './random-model';
import { temporaryFolder } from './temporary-folder';

/** Number of times that the headers of each file were read. */
const headers = vi.hoisted(() => new Map<string, number>());
const counted = vi.hoisted(
  () =>
    <Result>(read: (path: string) => Promise<Result>) =>
    async (path: string): Promise<Result> => {
      headers.set(path, (headers.get(path) ?? 0) + 1);
      return read(path);
    },
);
vi.mock(import('../../extension/core/checkpoints/safetensors'), async (original) => {
  const actual = await original();
  return { ...actual, openSafetensors: counted(actual.openSafetensors) };
});
vi.mock(import('../../extension/core/checkpoints/gguf'), async (original) => {
  const actual = await original();
  return { ...actual, readGgufHeader: counted(actual.readGgufHeader) };
});
vi.mock(import('../../extension/core/checkpoints/onnx-file'), async (original) => {
  const actual = await original();
  return { ...actual, openOnnx: counted(actual.openOnnx) };
});

const folder = temporaryFolder();
let count = 0;
const fresh = (): string => join(folder, String(count++));
const run = { device: 'cpu', memoryBytes: 1 << 28 } as const;
const calibration = { file: 'random', sequences: 3, length: 8 };
const environment = { bundledText: '', version: 'test' };

/** Readings of headers of files in a folder, or of a file. */
const countReads = (path: string): number =>
  [...headers].reduce(
    (sum, [file, reads]) => sum + (resolve(file).startsWith(path) ? reads : 0),
    0,
  );

/** Readings of weights of models that were not there before: a result is checked before it gets its name. */
const countResultReads = (...sources: readonly string[]): number =>
  [...headers].reduce((sum, [file, reads]) => {
    const isResult = basename(file) === 'model.safetensors' && !sources.includes(dirname(file));
    return sum + (isResult ? reads : 0);
  }, 0);

describe('a model is opened once', () => {
  let cache: ModelCache;

  beforeEach(() => {
    headers.clear();
    cache = new ModelCache({ capacity: 4 });
  });

  it('for a profile, with all that is asked before', async () => {
    const path = await makeRandomModel({ seed: 1, blocks: 2 });
    const model = await cache.open(path);
    await foreseeRefusals(model, {}, defaultSettings);
    await listOutputs(model, { remove: ['block.1'] });
    await profileModel(
      {
        ...{ model: await cache.open(path), calibration, ...run },
        settings: { ...defaultSettings, budget: { kind: 'count', count: 1 }, baselines: [] },
        out: join(folder, 'one.layerprofile.json'),
        journal: join(folder, 'one.journal.jsonl'),
      },
      environment,
      unattended,
    );
    expect(cache.reads).toBe(1);
    expect(countReads(path)).toBe(1);
  });

  it.each(['remove', 'compress'])('to %s, and its result once to be checked', async (change) => {
    const path = await makeRandomModel({ seed: 2, blocks: 2 });
    const out = fresh();
    const model = await cache.open(path);
    const { choices } = chooseForAll(model.model, parseCompression('lowrank:50%'), {});
    const request = { ...calibrationFor(model.model, choices), ...calibration };
    const application: PlanApplication = {
      ...{ model, out, overwrite: false, ...run },
      compression: { calibration: { request, bundledText: '' } },
      plan: {
        ...{ format: 'espalier.plan', version: 1, model: { path } },
        ...(change === 'remove'
          ? { remove: ['block.1.attention'] }
          : { remove: [], compress: choices }),
      },
    };
    const result = await applyPlan(application, unattended);
    expect(result.path).toBe(out);
    expect(cache.reads).toBe(1);
    expect(countReads(path)).toBe(1);
    expect(countResultReads(path)).toBe(1);
  });

  it('for sensitivity and a plan under a budget by it', async () => {
    const path = await makeRandomModel({ seed: 3, blocks: 2 });
    const table = await profileSensitivity(
      {
        ...{ model: await cache.open(path), calibration, ...run, out: undefined },
        settings: {
          compressions: [{ method: 'lowrank', ratio: 0.5 }],
          ...{ metric: 'js', roles: [], blocks: [], precision: 0, seed: 1 },
        },
        journal: join(folder, 'two.journal.jsonl'),
      },
      environment,
      unattended,
    );
    await planForBudget(
      {
        ...{
          model: await cache.open(path),
          table,
          budget: { limits: [{ unit: 'bytes', ratio: 0.8 }] },
          rounds: 1,
        },
        ...{ calibration, bundledText: '', folder: fresh(), ...run },
      },
      unattended,
    );
    expect(cache.reads).toBe(1);
    expect(countReads(path)).toBe(1);
  });

  it('to repair, as is the original', async () => {
    const path = await makeRandomModel({ seed: 4, blocks: 2 });
    const compressed = fresh();
    const teacher = await cache.open(path);
    const { choices } = chooseForAll(teacher.model, parseCompression('lowrank:4'), {});
    const plan = { format: 'espalier.plan', version: 1, model: { path }, remove: [] } as const;
    await applyPlan(
      {
        ...{ model: teacher, plan: { ...plan, compress: choices }, out: compressed },
        ...{ overwrite: false, ...run },
      },
      unattended,
    );
    headers.clear();
    const out = fresh();
    await repairModel(
      {
        ...{ model: await cache.open(compressed), teacher, out, overwrite: false, ...run },
        ...{ text: { ...calibration, sequences: 20 }, bundledText: '', trains: 'compressed' },
        ...{ settings: defaultRepair, epochs: 4, scope: 'sublayers' },
        ...{ states: 'student', version: 'test' },
      },
      unattended,
    );
    expect(cache.reads).toBe(2);
    expect([path, compressed].map(countReads)).toEqual([0, 1]);
    expect(countResultReads(path, compressed)).toBe(1);
  });

  it('to evaluate it against itself, and to generate', async () => {
    const path = fixture('llama-gqa-untied');
    const text = join(folder, 'held-out.txt');
    await writeFile(text, 'the pear is in the tree. '.repeat(20));
    const model = await cache.open(path);
    await evaluateModels(
      {
        ...{ model, removed: ['block.1'], against: await cache.open(path), text, ...run },
        ...{ length: 16 },
      },
      unattended,
    );
    await generateTexts(
      [
        {
          ...{ model, removed: [], prompt: 'the pear', chat: false, tokens: 2, ...run },
          sampling: { temperature: 0, seed: 0 },
        },
      ],
      unattended,
    );
    expect(cache.reads).toBe(1);
    expect(countReads(path)).toBe(1);
  });

  it.each([
    ['a folder', fixture('llama-gqa-untied')],
    ['a GGUF file', ggufFixture('llama.gguf')],
    ['a graph', onnxFixture('gpt2-past')],
  ])('to inspect, describe and draw %s', async (_, path) => {
    const open = async (place: string) => cache.open(place);
    await cache.open(path);
    await describeModel(path, open);
    await describeFlow(path, open);
    expect(cache.reads).toBe(1);
    expect(countReads(path)).toBe(1);
  });
});
