import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import { repairModel } from '../../../extension/core/pipelines/compression/repair-model';
import { workFolder } from '../../../extension/core/jobs/work-folder';
import type {
  RepairRequest,
  RepairResult,
} from '../../../extension/core/pipelines/compression/repair-model';
import { writeModel } from '../../../extension/core/pipelines/write-model';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import type { Compression } from '../../../extension/core/tensornet/compression-choice';
import { defaultRepair } from '../../../extension/core/tensornet/repair/repair-settings';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';

const folder = temporaryFolder();
const where = { device: 'cpu', memoryBytes: 1 << 28, overwrite: false } as const;
const text = { file: 'random', sequences: 24, length: 16 };

type Changes = Partial<Omit<RepairRequest, 'teacher'>> & { readonly teacher?: string };

interface Repaired {
  readonly result: RepairResult;
  /** Stages that the job reported. */
  readonly stages: ReadonlySet<string>;
}

/** The stages of a job so far, and what notes them. */
function watched(): [stages: ReadonlySet<string>, context: JobContext] {
  const stages = new Set<string>();
  return [stages, { ...unattended, progress: ({ stage }) => stages.add(inEnglish(stage)) }];
}

describe('repair', () => {
  let teacher: string;
  beforeAll(async () => {
    teacher = await makeRandomModel({ seed: 21, blocks: 2 });
  });

  /** Writes the teacher with every linear layer compressed. */
  const compress = async (name: string, compression: Compression): Promise<string> => {
    const model = await openModel(teacher);
    const { sublayers } = model.summary;
    const layers = sublayers.flatMap((_, index) => model.sublayer(index).linearLayers);
    const out = join(folder, name);
    await compressModel(
      {
        ...where,
        model: await openModelFiles(teacher),
        choices: layers.map(({ id }) => ({ tensor: id, ...compression })),
        out,
      },
      unattended,
    );
    return out;
  };

  const made = new Map<string, Promise<string>>();
  /** The same, made once for all tests: none changes it. */
  const compressed = async (compression: Compression): Promise<string> => {
    const { method, setting, then } = compression;
    const name = [method, setting, then].filter((part) => part !== undefined).join('-');
    const model = made.get(name) ?? compress(name, compression);
    made.set(name, model);
    return model;
  };

  const repair = async (
    model: string,
    name: string,
    { teacher: from = teacher, ...more }: Changes = {},
    context: JobContext = unattended,
  ): Promise<RepairResult> =>
    repairModel(
      {
        ...where,
        model: await openModelFiles(model),
        teacher: await openModelFiles(from),
        text,
        bundledText: '',
        trains: 'compressed',
        ...{ settings: defaultRepair, epochs: 2 },
        ...{ states: 'student', version: 'test' },
        out: join(folder, name),
        ...more,
      },
      context,
    );

  const repairs = new Map<string, Promise<Repaired>>();
  /** Model compressed this way and repaired with default settings, once for all tests. */
  const repaired = async (compression: Compression): Promise<Repaired> => {
    const model = await compressed(compression);
    const run = async (): Promise<Repaired> => {
      const [stages, watching] = watched();
      return { result: await repair(model, `${basename(model)}-repaired`, {}, watching), stages };
    };
    const known = repairs.get(model) ?? run();
    repairs.set(model, known);
    return known;
  };

  it.each([
    { method: 'lowrank', setting: 4 },
    { method: 'mpo', setting: 6 },
    { method: 'int4', setting: 16 },
    { method: 'lowrank', setting: 5, then: 'int8' },
  ] as const)('lowers the held-out loss of $method:$setting', async (compression) => {
    const model = await compressed(compression);
    const { lossBefore, lossAfter, slices, written } = (await repaired(compression)).result;
    const { path = '' } = written ?? {};
    expect(lossAfter).toBeLessThan(lossBefore);
    expect(lossAfter).toBeGreaterThan(0);
    expect(slices.map(({ sublayer }) => sublayer)).toEqual([
      'block.0.attention',
      'block.0.feedforward',
      'block.1.attention',
      'block.1.feedforward',
    ]);
    for (const { repaired, errorBefore, errorAfter } of slices) {
      expect(repaired).toBe(errorAfter < errorBefore);
    }
    const [before, after] = [await openModel(model), await openModel(path)];
    expect(after.summary.parameters).toBe(before.summary.parameters);
    expect(after.summary.fingerprint).not.toBe(before.summary.fingerprint);
    expect(existsSync(workFolder(path, 'repair'))).toBe(false);
  });

  it('rejects a model as its own teacher', async () => {
    const model = await compressed({ method: 'lowrank', setting: 4 });
    await expect(repair(model, 'taught', { teacher: model })).rejects.toFailWith({
      code: 'teacher-is-student',
      file: 'lowrank-4',
    });
  });

  it('resumes to the same result', async () => {
    const compression = { method: 'lowrank', setting: 4 } as const;
    const model = await compressed(compression);
    const whole = (await repaired(compression)).result;
    const cancellation = { isCancellationRequested: false };
    const stopping: JobContext = {
      ...unattended,
      cancellation,
      progress: ({ stage }) => {
        cancellation.isCancellationRequested = inEnglish(stage) === 'Repairing block.1.attention';
      },
    };
    await expect(repair(model, 'resumed', {}, stopping)).rejects.toThrow(CancelledError);
    const savedWork = workFolder(join(folder, 'resumed'), 'repair');
    expect(existsSync(join(savedWork, 'block.0.feedforward.safetensors'))).toBe(true);
    const resumed = await repair(model, 'resumed');
    expect(resumed.slices).toEqual(whole.slices);
    expect(resumed.lossAfter).toBe(whole.lossAfter);
    expect(existsSync(savedWork)).toBe(false);
  });

  it('repairs a pruned MoE layer, even if experts get no token', async () => {
    const mixture = await makeRandomModel({ seed: 22, blocks: 2, modelType: 'mixtral' });
    const model = join(folder, 'pruned-mixture');
    await writeModel(
      {
        ...where,
        model: await openModelFiles(mixture),
        removed: ['block.0.attention'],
        out: model,
      },
      unattended,
    );
    for (const scope of ['sublayers', 'model'] as const) {
      const { lossBefore, lossAfter } = await repair(model, `mixture-${scope}`, {
        ...{ teacher: mixture, trains: 'all', scope },
      });
      expect(lossAfter).toBeLessThan(lossBefore);
    }
  });

  it('repairs a pruned model through the layers that stay, and as a whole', async () => {
    const model = join(folder, 'pruned');
    await writeModel(
      {
        ...where,
        model: await openModelFiles(teacher),
        removed: ['block.0.feedforward'],
        out: model,
      },
      unattended,
    );
    await expect(repair(model, 'nothing')).rejects.toFailWith({
      code: 'nothing-to-train',
      file: 'pruned',
    });
    const sliced = await repair(model, 'pruned-repaired', { trains: 'all', scope: 'sublayers' });
    expect(sliced.lossAfter).toBeLessThan(sliced.lossBefore);
    const together = await repair(model, 'pruned-together', { trains: 'all', scope: 'both' });
    expect(together.lossBefore).toBe(sliced.lossBefore);
    expect(together.lossAfter).toBeLessThanOrEqual(sliced.lossAfter);
    const [stages, watching] = watched();
    const alone = await repair(model, 'pruned-alone', { trains: 'all' }, watching);
    expect(alone.lossBefore).toBe(sliced.lossBefore);
    expect(alone.lossAfter).toBeLessThan(alone.lossBefore);
    expect(alone.slices).toEqual([]);
    const { train, heldOut, tokens } = alone.learned;
    expect(tokens).toBe(train * text.length);
    expect(train + heldOut).toBe(text.sequences);
    expect([...stages].filter((stage) => stage.startsWith('Repairing'))).toEqual([
      'Repairing the full model',
    ]);
    await expect(
      repair(model, 'no-states', { trains: 'all', scope: 'model', states: 'teacher' }),
    ).rejects.toFailWith({ code: 'states-unsupported', file: 'pruned', field: 'states' });
  });

  it('resumes within an epoch of the full model to the same result', async () => {
    const model = join(folder, 'pruned-stopped');
    await writeModel(
      {
        ...where,
        model: await openModelFiles(teacher),
        removed: ['block.0.attention'],
        out: model,
      },
      unattended,
    );
    const settings = { trains: 'all', epochs: 1 } as const;
    const undisturbed = await repair(model, 'undisturbed', settings);
    const steps: (number | undefined)[] = [];
    const cancellation = { isCancellationRequested: false };
    const stopping: JobContext = {
      ...unattended,
      cancellation,
      progress: ({ stage, done }) => {
        if (inEnglish(stage) === 'Repairing the full model') {
          steps.push(done);
          cancellation.isCancellationRequested = done === 3;
        }
      },
    };
    await expect(repair(model, 'went-on', settings, stopping)).rejects.toThrow(CancelledError);
    // Another job with the same output doesn't reuse it.
    cancellation.isCancellationRequested = false;
    await expect(
      repair(model, 'went-on', { ...settings, settings: { ...defaultRepair, seed: 1 } }, stopping),
    ).rejects.toThrow(CancelledError);
    const { lossAfter } = await repair(model, 'went-on', settings, {
      ...stopping,
      cancellation: unattended.cancellation,
    });
    expect(steps.slice(0, 9)).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 3]);
    expect(lossAfter).toBe(undisturbed.lossAfter);
    expect(existsSync(workFolder(join(folder, 'went-on'), 'repair'))).toBe(false);
  });

  it('refuses full-model training before any work if it does not fit', async () => {
    const model = await compressed({ method: 'lowrank', setting: 4 });
    const stages: string[] = [];
    const watching: JobContext = {
      ...unattended,
      progress: ({ stage }) => stages.push(inEnglish(stage)),
    };
    await expect(
      repair(model, 'not-large', { scope: 'both', memoryBytes: 1 << 10 }, watching),
    ).rejects.toFailWith({
      ...{ code: 'training-memory-too-small', file: 'lowrank-4', remedy: /--scope sublayers/ },
    });
    expect(stages).toEqual([]);
  });

  it("repairs from the teacher's states, also for parallel branches", async () => {
    const parallel = await makeRandomModel({ seed: 22, blocks: 2, modelType: 'cohere' });
    const model = join(folder, 'parallel');
    await writeModel(
      {
        ...where,
        model: await openModelFiles(parallel),
        removed: ['block.0.feedforward', 'block.1.attention'],
        out: model,
      },
      unattended,
    );
    const { lossBefore, lossAfter } = await repair(model, 'parallel-repaired', {
      ...{ teacher: parallel, trains: 'all', scope: 'sublayers', states: 'teacher' },
    });
    expect(lossAfter).toBeLessThan(lossBefore);
  });

  it('trains the full model if it fits, unless told not to', async () => {
    const compression = { method: 'lowrank', setting: 4 } as const;
    const model = await compressed(compression);
    const together = await repaired(compression);
    expect(together.stages).toContain('Repairing the full model');
    const [stages, watching] = watched();
    const sliced = await repair(model, 'slices-alone', { scope: 'sublayers' }, watching);
    expect(stages).not.toContain('Repairing the full model');
    expect(together.result.lossAfter).toBeLessThan(sliced.lossAfter);
    await expect(
      repair(model, 'too-large', { scope: 'both', memoryBytes: 1 << 10 }),
    ).rejects.toFailWith({ code: 'training-memory-too-small', file: 'lowrank-4' });
  });

  it('splits the sequences of a step if memory does not fit all, with the same result', async () => {
    const model = join(folder, 'in-pieces');
    await writeModel(
      {
        ...where,
        model: await openModelFiles(teacher),
        removed: ['block.1.attention'],
        out: model,
      },
      unattended,
    );
    const repaired = async (name: string, memoryBytes: number) => {
      let runs = 0;
      const counting: JobContext = {
        ...unattended,
        progress: ({ stage }) => {
          runs += Number(inEnglish(stage) === 'Repairing the full model');
        },
      };
      const { lossAfter } = await repair(
        model,
        name,
        { trains: 'all', scope: 'model', memoryBytes, epochs: 1 },
        counting,
      );
      return { runs, lossAfter };
    };
    const whole = await repaired('in-one-piece', where.memoryBytes);
    const refusal: unknown = await repaired('in-none', 1 << 10).catch((error: unknown) => error);
    const [, least = ''] = /at least (\d+) KiB/.exec(String(refusal)) ?? [];
    const pieces = await repaired('in-four', Math.ceil(1.1 * Number(least) * 1024));
    expect(pieces.runs).toBe(4 * whole.runs);
    expect(Math.abs(pieces.lossAfter / whole.lossAfter - 1)).toBeLessThan(1e-3);
  });

  it('keeps the earlier weights if training diverges, and says so', async () => {
    const model = await compressed({ method: 'lowrank', setting: 4 });
    const settings = { ...defaultRepair, rate: 1e30 };
    const warnings: string[] = [];
    const reported: JobContext = { ...unattended, warn: (text) => warnings.push(inEnglish(text)) };
    expect((await repair(model, 'diverged', { settings }, reported)).written).toBeNull();
    expect(warnings.join()).toMatch(/block\.0\.attention, .*diverged.*--rate/);
  });

  it('writes nothing without an improvement', async () => {
    const model = await compressed({ method: 'lowrank', setting: 4 });
    const { written, lossBefore, lossAfter } = await repair(model, 'worse', { epochs: 0 });
    expect(written).toBeNull();
    expect(lossAfter).toBe(lossBefore);
    expect(existsSync(join(folder, 'worse'))).toBe(false);
    expect(existsSync(workFolder(join(folder, 'worse'), 'repair'))).toBe(false);
  });

  it('refuses a folder that exists before it does anything', async () => {
    const model = await compressed({ method: 'lowrank', setting: 4 });
    const finished = basename(await compressed({ method: 'int4', setting: 16 }));
    const stages: string[] = [];
    const watching: JobContext = {
      ...unattended,
      progress: ({ stage }) => stages.push(inEnglish(stage)),
    };
    await expect(repair(model, finished, {}, watching)).rejects.toFailWith({
      code: 'output-exists',
      file: 'int4-16',
    });
    await expect(compress(finished, { method: 'int4', setting: 16 })).rejects.toFailWith({
      code: 'output-exists',
      file: 'int4-16',
    });
    expect(stages).toEqual([]);
    expect(existsSync(workFolder(model, 'repair'))).toBe(false);
    expect(existsSync(workFolder(model, 'compress'))).toBe(false);
  });

  it('refuses another teacher, and too little text', async () => {
    const model = await compressed({ method: 'lowrank', setting: 4 });
    const stranger = await makeRandomModel({ seed: 3, blocks: 3 });
    await expect(repair(model, 'no', { teacher: stranger })).rejects.toFailWith({
      code: 'teacher-mismatch',
      file: 'lowrank-4',
      field: 'espalier.json',
    });
    const short = { ...text, sequences: 1 };
    await expect(repair(model, 'no', { text: short })).rejects.toFailWith({
      code: 'sequences-too-few',
      field: 'sequences',
    });
  });
});
