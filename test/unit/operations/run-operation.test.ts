import { writeFileSync } from 'node:fs';
import type nodeOs from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { documentJournal } from '../../../extension/core/jobs/work-folder';
import { unattended } from '../../../extension/core/jobs/job';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { buildRequest } from '../../../extension/core/operations/build-request';
import type { AnyOperation, OperationContext } from '../../../extension/core/operations/operation';
import { evaluate } from '../../../extension/core/operations/evaluate';
import { compress } from '../../../extension/core/operations/compress';
import { drift } from '../../../extension/core/operations/drift';
import { dataDiet } from '../../../extension/core/operations/data-diet';
import { imatrix } from '../../../extension/core/operations/imatrix';
import { patch } from '../../../extension/core/operations/patch';
import { planCompression } from '../../../extension/core/operations/plan-compression';
import { profile } from '../../../extension/core/operations/profile';
import { prune } from '../../../extension/core/operations/prune';
import { scoreExperts } from '../../../extension/core/operations/score-experts';
import { scoreText } from '../../../extension/core/operations/score-text';
import { repair } from '../../../extension/core/operations/repair';
import { knownSeconds, runOperation } from '../../../extension/core/operations/run-operation';
import { scoreData } from '../../../extension/core/operations/score-data';
import { sensitivity } from '../../../extension/core/operations/sensitivity';
import { train } from '../../../extension/core/operations/train';
import { temporaryFolder } from '../temporary-folder';

/** Tasks that wanted to run, for each core, in the last 1, 5 and 15 minutes. */
const load = vi.hoisted(() => ({ perCore: [0, 0, 0] }));
vi.mock('node:os', async (original) => {
  const os = await original<typeof nodeOs>();
  return { ...os, loadavg: () => load.perCore.map((tasks) => tasks * os.cpus().length) };
});

const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const folder = temporaryFolder();
const models = new ModelCache({ capacity: 1 });

/** Messages of an operation until it would begin to work. */
async function progressBefore(
  operation: object,
  given: Readonly<Record<string, unknown>>,
): Promise<StageProgress[]> {
  const reported: StageProgress[] = [];
  const asked = {
    ...(operation as AnyOperation),
    run: async () => Promise.resolve(reported.length),
  };
  const context = {
    ...unattended,
    progress: (progress: StageProgress) => reported.push(progress),
    environment: {
      open: async (path: string) => models.open(path),
      samples: dirname(sample),
      costsFolder: join(folder, 'costs'),
    },
  } as unknown as OperationContext;
  const request = buildRequest(asked, { model: sample, device: 'cpu', ...given });
  expect(await runOperation(asked, request, context)).toBe(reported.length);
  return reported;
}

describe('a folder to write', () => {
  it.each(['small.gguf', 'small.GGUF', 'model.onnx', 'model.safetensors'])(
    'is not named like the file %s',
    async (name) => {
      const out = join(folder, name);
      await expect(progressBefore(prune, { out, remove: 1 })).rejects.toThrow(
        `out: ${name} is a file name, but the output is a folder. Name the folder, such as ${name.split('.')[0] ?? ''}.`,
      );
    },
  );

  it('may have a dot in its name, and files keep theirs', async () => {
    await progressBefore(prune, { out: join(folder, 'llama-3.2'), remove: 1 });
    await progressBefore(imatrix, { out: join(folder, 'a.gguf') });
  });
});

describe('before an operation begins', () => {
  beforeEach(() => {
    // Each timed run of the model takes equally long, regardless of other load.
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => (now += 10));
  });

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('estimates the time of a search, longer for more work', async () => {
    const [short] = await progressBefore(profile, { remove: 1 });
    const [long, ...more] = await progressBefore(profile, {
      search: 'naive',
      sequences: 1000,
      all: true,
    });
    expect(more).toEqual([]);
    expect(long).toMatchObject({ done: 0, total: 1 });
    expect(short?.secondsLeft).toBeGreaterThan(0);
    // Some thousand times the work.
    expect((long?.secondsLeft ?? 0) / (short?.secondsLeft ?? 1)).toBeGreaterThan(100);
  });

  it('estimates an evaluation by the size of the text', async () => {
    const text = join(folder, 'long.txt');
    writeFileSync(text, 'the quick brown fox jumps over the lazy dog. '.repeat(20_000));
    const [told] = await progressBefore(evaluate, { text, wholeText: true });
    expect(told?.secondsLeft).toBeGreaterThan(0.5);
  });

  it('estimates scoring a text by its windows, or by the size of the text', async () => {
    const [some] = await progressBefore(scoreText, { windows: 30, length: 128 });
    const [all] = await progressBefore(scoreText, { length: 128 });
    // The text that comes with Espalier has some 30 thousand tokens.
    const ratio = (all?.secondsLeft ?? 0) / (some?.secondsLeft ?? 1);
    expect(ratio).toBeGreaterThan(2);
    expect(ratio).toBeLessThan(30);
  });

  it('returns no estimate for a missing text', async () => {
    expect(await progressBefore(scoreText, { text: join(folder, 'no-text.txt') })).toEqual([]);
  });

  it('returns no estimate for little work', async () => {
    expect(await progressBefore(profile, { remove: 1, sequences: 1, length: 8 })).toEqual([]);
  });

  it('returns no estimate if a plan lists the removals', async () => {
    expect(await progressBefore(prune, { plan: 'some.plan.json', out: 'x' })).toEqual([]);
  });

  it('leaves errors to the run', async () => {
    expect(await progressBefore(profile, { model: join(folder, 'no-model') })).toEqual([]);
  });

  it('returns no estimate if an earlier run has saved an unknown part', async () => {
    const out = join(folder, 'some.layerprofile.json');
    writeFileSync(documentJournal(out), '{}\n');
    expect(await progressBefore(profile, { out })).toEqual([]);
  });
});

describe('estimates from finished runs', () => {
  const environment = {
    open: async (path: string) => models.open(path),
    samples: dirname(sample),
    costsFolder: join(folder, 'remembered'),
  };
  type Given = Readonly<Record<string, unknown>>;
  const known = async (operation: object, given: Given): Promise<number | undefined> => {
    const declared = operation as AnyOperation;
    return knownSeconds(declared, buildRequest(declared, given), environment);
  };

  /** Runs an operation that takes `seconds` and does nothing. */
  async function finish(operation: object, given: Given, seconds: number): Promise<void> {
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    const asked: AnyOperation = {
      ...(operation as AnyOperation),
      run: async () => Promise.resolve((now += 1000 * seconds)),
    };
    const context = { ...unattended, environment } as unknown as OperationContext;
    await runOperation(asked, buildRequest(asked, given), context);
  }

  afterEach(() => {
    vi.restoreAllMocks();
  });

  const given = (name: string, more: Given = {}): Given => ({
    model: sample,
    out: join(folder, name),
    ...more,
  });
  const data = (name: string, more: Given): Given => ({
    ...{ data: folder, out: join(folder, name) },
    ...more,
  });

  it('are the time on a quiet machine', async () => {
    const one = given('loaded.sensitivity.json', { blocks: ['0-4'], methods: ['int8:32'] });
    load.perCore = [3, 6, 1];
    await finish(sensitivity, one, 100);
    expect(await known(sensitivity, one)).toBeCloseTo(50, 6);
    await finish(sensitivity, one, 200);
    expect(await known(sensitivity, one)).toBeCloseTo(50, 6);
    await finish(sensitivity, one, 700);
    load.perCore = [0, 0, 0];
    // By half more at most.
    expect(await known(sensitivity, one)).toBeCloseTo(75, 6);
  });

  it('is not much longer after one run on a busy machine', async () => {
    const one = given('busy.sensitivity.json', { blocks: ['0-3'], methods: ['int8:64'] });
    await finish(sensitivity, one, 100);
    await finish(sensitivity, one, 1000);
    expect(await known(sensitivity, one)).toBeCloseTo(150, 6);
    await finish(sensitivity, one, 60);
    expect(await known(sensitivity, one)).toBeCloseTo(60, 6);
  });

  it.each([
    [
      'sensitivity',
      sensitivity,
      given('s.sensitivity.json', { blocks: ['0-5'] }),
      { blocks: ['0-2'] },
      0.5,
    ],
    ['compress', compress, given('c', { method: 'mpo' }), { blocks: ['0-5'] }, 0.5],
    ['a budget', compress, given('b', { budget: 0.5 }), { blocks: ['0-5'] }, 0.5],
    ['a plan', planCompression, given('p.plan.json', { budget: 0.5 }), { blocks: ['0-5'] }, 0.5],
    ['repair', repair, given('r', { teacher: sample }), { effort: 'thorough' }, 4],
    ['patch', patch, given('q', { sublayer: 'block.1.feedforward' }), { epochs: 15 }, 0.5],
    ['imatrix', imatrix, given('i.gguf', { sequences: 40 }), { sequences: 20 }, 0.5],
    ['score-experts', scoreExperts, given('e.plan.json', { ratio: 0.5 }), { sequences: 20 }, 2],
    ['drift', drift, { model: sample, against: sample }, { text: 'another.txt' }, 1],
    ['train', train, data('train', { seeds: 2 }), { seeds: 3 }, 1.5],
    ['score-data', scoreData, data('d.scores.json', { runs: 10 }), { runs: 5 }, 0.5],
    // 10 runs of 3 epochs to score, then 3 seeds of all, of 2 random parts, and of 2 with the
    // highest scores and 1 + 5 windows.
    ['data-diet', dataDiet, data('d.datadiet.json', { epochs: 8 }), { epochs: 4 }, 0.55],
  ] as const)('%s', async (_, operation, asked, change, times) => {
    expect(await known(operation, asked)).toBeUndefined();
    await finish(operation, asked, 60);
    expect(await known(operation, asked)).toBeCloseTo(60);
    const changed = (await known(operation, { ...asked, ...change })) ?? 0;
    expect(changed / 60).toBeCloseTo(times, 1);
  });

  it('is said before it starts', async () => {
    await finish(sensitivity, given('t.sensitivity.json', { methods: ['int8'] }), 60);
    const reported: StageProgress[] = [];
    const asked = {
      ...(sensitivity as unknown as AnyOperation),
      run: async () => Promise.resolve(),
    };
    await runOperation(
      asked,
      buildRequest(asked, given('u.sensitivity.json', { methods: ['int8'] })),
      {
        ...unattended,
        progress: (progress: StageProgress) => reported.push(progress),
        environment,
      } as unknown as OperationContext,
    );
    expect(reported).toEqual([expect.objectContaining({ done: 0, secondsLeft: 60 })]);
  });

  it('is nothing for other methods', async () => {
    expect(
      await known(sensitivity, given('v.sensitivity.json', { methods: ['int4'] })),
    ).toBeUndefined();
  });

  it('is taken from the latest run', async () => {
    await finish(sensitivity, given('w.sensitivity.json', { methods: ['mpo'] }), 60);
    await finish(sensitivity, given('w.sensitivity.json', { methods: ['mpo'] }), 90);
    expect(await known(sensitivity, given('w.sensitivity.json', { methods: ['mpo'] }))).toBeCloseTo(
      90,
    );
  });

  it('is nothing after a run that has only started', async () => {
    await finish(sensitivity, given('x.sensitivity.json', { methods: ['lowrank'] }), 2);
    expect(
      await known(sensitivity, given('x.sensitivity.json', { methods: ['lowrank'] })),
    ).toBeUndefined();
  });

  it('is missing for far more work than a run that was mostly startup', async () => {
    const some = (windows: number) => given('y.textscores.json', { windows, length: 128 });
    await finish(scoreText, some(4), 8);
    expect(await known(scoreText, some(4))).toBeCloseTo(8);
    expect(await known(scoreText, some(6))).toBeCloseTo(12);
    expect(await known(scoreText, some(56))).toBeUndefined();
    await finish(scoreText, some(8), 120);
    expect(await known(scoreText, some(56))).toBeCloseTo(840);
    expect(await known(scoreText, some(2))).toBeCloseTo(4);
  });
});
