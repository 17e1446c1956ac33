import { readFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { quantizeRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { storeComputed } from '../../../extension/core/models/encodings/store-encodings';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { routerLayers } from '../../../extension/core/models/layered-model';
import { repairModel } from '../../../extension/core/pipelines/compression/repair-model';
import type {
  RepairRequest,
  RepairResult,
} from '../../../extension/core/pipelines/compression/repair-model';
import { writeModel } from '../../../extension/core/pipelines/write-model';
import { defaultRepair } from '../../../extension/core/tensornet/repair/repair-settings';
import { fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const where = { device: 'cpu', memoryBytes: 1 << 28, overwrite: false } as const;
const text = { file: 'random', sequences: 24, length: 16 };

/** Writes a model without half of its experts, and returns the path of its weights. */
async function halved(source: string, name: string): Promise<string> {
  const model = await openModelFiles(source);
  const removed = model.summary.sublayers.flatMap(({ id, experts: { count } = { count: 0 } }) =>
    Array.from({ length: count / 2 }, (_, i) => `${id}.${2 * i}`),
  );
  const { path, files } = await writeModel(
    { ...where, model, removed, out: join(folder, name) },
    unattended,
  );
  return model.format === 'gguf' ? join(path, files[0]?.name ?? '') : path;
}

/** Writes a float32 folder again in bfloat16, and returns its path. */
async function writeBfloat16(source: string, name: string): Promise<string> {
  const copy = join(folder, name);
  await cp(source, copy, { recursive: true });
  const { tensors } = await openSafetensors(join(source, 'model.safetensors'));
  await rm(join(copy, 'model.safetensors'));
  await storeComputed(
    join(copy, 'model.safetensors'),
    [...tensors.values()].map((tensor) => {
      const length = tensor.length / 2;
      const numbers = new Float32Array(Uint8Array.from(readTensor(tensor)).buffer);
      const bytes = (): Promise<Uint8Array> =>
        Promise.resolve(quantizeRows('BF16', numbers, numbers.length));
      return { name: tensor.name, shape: tensor.shape, dtype: 'BF16', length, bytes };
    }),
  );
  return copy;
}

const repair = async (
  student: string,
  teacher: string,
  name: string,
  more: Partial<RepairRequest> = {},
  context: JobContext = unattended,
): Promise<RepairResult> =>
  repairModel(
    {
      ...where,
      model: await openModelFiles(student),
      teacher: await openModelFiles(teacher),
      ...{ text, bundledText: '', trains: 'routers' },
      ...{ settings: defaultRepair, epochs: 4 },
      ...{ states: 'student', version: 'test' },
      out: join(folder, name),
      ...more,
    },
    context,
  );

const readTensor = ({ file, offset, length }: LazyTensor): Buffer =>
  readFileSync(file).subarray(offset, offset + length);

/** Names of the tensors with other bytes, which both files have. */
function otherTensors(before: readonly LazyTensor[], after: readonly LazyTensor[]): string[] {
  expect(after.map(({ name }) => name)).toEqual(before.map(({ name }) => name));
  return before.flatMap((tensor, i) =>
    after[i] !== undefined && readTensor(after[i]).equals(readTensor(tensor)) ? [] : [tensor.name],
  );
}

async function routerNames(path: string): Promise<string[]> {
  return routerLayers((await openModelFiles(path)).model).map(({ id }) => id);
}

describe('repair of routers', () => {
  it('trains nothing else in a folder', async () => {
    const teacher = fixture('mixtral');
    const student = await halved(teacher, 'folder');
    const result = await repair(student, teacher, 'folder-repaired');
    expect(result.lossAfter).toBeLessThan(result.lossBefore);
    const [before = [], after = []] = await Promise.all(
      [student, result.written?.path ?? ''].map(async (path) => {
        const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
        return [...tensors.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      }),
    );
    expect(otherTensors(before, after).sort()).toEqual((await routerNames(student)).sort());
  });

  it('keeps the dtype of a bfloat16 folder', async () => {
    const teacher = await writeBfloat16(fixture('mixtral'), 'bfloat16');
    const student = await halved(teacher, 'bfloat16-halved');
    const result = await repair(student, teacher, 'bfloat16-repaired');
    expect(result.lossAfter).toBeLessThan(result.lossBefore);
    const { tensors } = await openSafetensors(
      join(result.written?.path ?? '', 'model.safetensors'),
    );
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['BF16']));
  });

  it.each(['gpt-oss', 'qwen3moe'])('copies all else of a GGUF file (%s)', async (name) => {
    const teacher = ggufFixture(`${name}.gguf`);
    const student = await halved(teacher, name);
    const result = await repair(student, teacher, `${name}-repaired`);
    expect(result.lossAfter).toBeLessThan(result.lossBefore);
    const file = join(result.written?.path ?? '', result.written?.files[0]?.name ?? '');
    const [before, after] = [await readGgufHeader(student), await readGgufHeader(file)];
    const entries = (header: typeof before): [string, Buffer][] =>
      [...header.entries].map(([key, { offset, length }]) => [
        key,
        readFileSync(header.file).subarray(offset, offset + length),
      ]);
    expect(entries(after)).toEqual(entries(before));
    expect(otherTensors(before.tensors, after.tensors).sort()).toEqual(
      (await routerNames(student)).sort(),
    );
  });

  it('trains no other layers of a GGUF file', async () => {
    const teacher = ggufFixture('qwen3moe.gguf');
    const student = await halved(teacher, 'other-layers');
    await expect(
      repair(student, teacher, 'other-layers-repaired', { trains: 'all' }),
    ).rejects.toMatchObject({ subject: { field: 'train' } });
  });

  it('resumes after a cancel', async () => {
    const teacher = fixture('mixtral');
    const student = await halved(teacher, 'cancelled');
    let isCancelled = false;
    const firstSteps = repair(
      student,
      teacher,
      'resumed',
      {},
      {
        ...unattended,
        cancellation: {
          ...unattended.cancellation,
          get isCancellationRequested() {
            return isCancelled;
          },
        },
        progress: ({ done, unit, moreFollows }) => {
          isCancelled ||= unit === 'steps' && moreFollows !== true && done === 5;
        },
      },
    );
    await expect(firstSteps).rejects.toThrow(CancelledError);
    const first: number[] = [];
    const resumed = await repair(
      student,
      teacher,
      'resumed',
      {},
      {
        ...unattended,
        progress: ({ done, unit, moreFollows }) => {
          if (unit === 'steps' && moreFollows !== true) {
            first.push(done);
          }
        },
      },
    );
    expect(first[0]).toBe(5);
    const whole = await repair(student, teacher, 'at-once');
    expect(resumed.lossAfter).toBe(whole.lossAfter);
  });
});
