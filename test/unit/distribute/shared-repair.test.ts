import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LocalEngine } from '../../../extension/core/distribute/local-engine';
import type { Engine } from '../../../extension/core/distribute/work-item';
import { WorkerLostError } from '../../../extension/core/jobs/child-task';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { workFolder } from '../../../extension/core/jobs/work-folder';
import { inEnglish } from '../../../extension/core/message';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import { repairModel } from '../../../extension/core/pipelines/compression/repair-model';
import { defaultRepair } from '../../../extension/core/tensornet/repair/repair-settings';
import { buildChild } from '../build-child';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { InProcessEngine } from './in-process-engine';

const folder = temporaryFolder();
const where = { device: 'cpu', memoryBytes: 1 << 28, overwrite: false } as const;
const sublayers = ['attention', 'feedforward'];
const all = [0, 1].flatMap((block) => sublayers.map((name) => `block.${block}.${name}`));

describe("a repair from the teacher's states, shared by several workers", () => {
  let teacher: string;
  let student: string;
  let alone: Awaited<ReturnType<typeof run>>;

  /** Results and output of a repair. */
  const run = async (name: string, engine?: Engine, context: Partial<JobContext> = {}) => {
    const out = join(folder, name);
    const result = await repairModel(
      {
        ...where,
        ...{ model: await openModelFiles(student), teacher: await openModelFiles(teacher) },
        ...{ text: { file: 'random', sequences: 12, length: 12 }, bundledText: '' },
        ...{ settings: defaultRepair, epochs: 2 },
        ...{ states: 'teacher', scope: 'sublayers', engine, version: 'test', out },
      },
      { ...unattended, ...context },
    );
    const { slices, lossBefore, lossAfter } = result;
    const weights = await readFile(join(out, 'model.safetensors'));
    return { slices, lossBefore, lossAfter, weights: weights.toString('base64') };
  };

  beforeAll(async () => {
    teacher = await makeRandomModel({ seed: 31, blocks: 2 });
    student = join(folder, 'student');
    const original = await openModelFiles(teacher);
    const layers = all.flatMap((_, index) => original.model.sublayer(index).linearLayers);
    await compressModel(
      {
        ...where,
        model: original,
        choices: layers.map(({ id }) => ({ tensor: id, method: 'lowrank', setting: 3 })),
        out: student,
      },
      unattended,
    );
    alone = await run('alone');
    expect(alone.slices.map(({ sublayer }) => sublayer)).toEqual(all);
    expect(alone.lossAfter).toBeLessThan(alone.lossBefore);
  });

  afterAll(async () => rm(teacher, { recursive: true }));

  it('equals one process, and repeats the work of a lost worker', async () => {
    let isLost = false;
    const engine = new InProcessEngine(4, (worker) => ({
      name: worker.name,
      do: async (piece, job) => {
        const result = await worker.do(piece, job);
        if (!isLost) {
          isLost = true;
          throw new WorkerLostError('It was killed.');
        }
        return result;
      },
    }));
    expect(await run('shared', engine)).toEqual(alone);
    expect(engine.begun.every((pieces) => pieces > 0)).toBe(true);
    expect(isLost).toBe(true);
  });

  it('equals one process when run by child processes', async () => {
    expect(await run('processes', new LocalEngine(await buildChild('pieces'), 2))).toEqual(alone);
  });

  it("rejects values that don't fit the sublayer, from any source", async () => {
    const engine = new InProcessEngine(2, ({ name }) => ({
      name,
      do: async ({ result }) => {
        const numbers = { 'model.wrong.weight': new Float32Array(3) };
        const errors = { errorBefore: 1, errorAfter: 0, epochs: 1, diverged: false };
        return Promise.resolve(parse(result, { numbers, ...errors }));
      },
    }));
    await expect(run('wrong', engine)).rejects.toThrow(
      /A work item failed 3 times\. Worker 1: .*left\.weight/,
    );
  });

  it('refuses a sublayer that is too large to send', async () => {
    const engine = Object.assign(new InProcessEngine(2), { mostResultBytes: 100 });
    await expect(run('too-large', engine)).rejects.toThrow(
      /queue: block\.0\.\w+ trains [\d.]+ KiB, more than a queue accepts \(100 B\)\./,
    );
  });

  it('resumes with another number of workers', async () => {
    const cancellation = { isCancellationRequested: false };
    const stopping: Partial<JobContext> = {
      cancellation,
      progress: ({ stage, done }) => {
        // Stays true once set: sublayers that finish later must not reset it.
        cancellation.isCancellationRequested ||=
          inEnglish(stage) === 'Repairing sublayers' && done === 2;
      },
    };
    await expect(run('resumed', new InProcessEngine(2), stopping)).rejects.toThrow(CancelledError);
    const savedWork = workFolder(join(folder, 'resumed'), 'repair');
    expect(existsSync(join(savedWork, 'journal.jsonl'))).toBe(true);
    const stages: number[] = [];
    const watching: Partial<JobContext> = {
      progress: ({ stage, done }) => {
        stages.push(...(inEnglish(stage) === 'Repairing sublayers' ? [done] : []));
      },
    };
    expect(await run('resumed', undefined, watching)).toEqual(alone);
    expect(stages[0]).toBeGreaterThanOrEqual(2);
    expect(existsSync(savedWork)).toBe(false);
  });
});
