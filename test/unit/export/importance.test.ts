import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { readImportance, writeImportance } from '../../../extension/core/export/gguf/importance';
import { inputSums } from '../../../extension/core/export/gguf/input-sums';
import { unattended } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { runCli } from '../cli/run-cli';
import { fixture, relativeError } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { prune, rejection } from './pruning';

const root = temporaryFolder();
const options = { device: 'cpu', memoryBytes: 1 << 30 } as const;
const inputs = [Int32Array.of(3, 5, 8, 13, 21, 34), Int32Array.of(4, 6, 10, 16)];

describe('an importance matrix', () => {
  it('is the mean square of what goes into each layer, the same for a folder and its GGUF file', async () => {
    const folder = await openModelFiles(fixture('llama-gqa-untied'));
    const sums = await inputSums(folder, inputs, options, unattended);
    await prune(folder.path, [], join(root, 'out'), { format: 'gguf' });
    const file = await openModelFiles(join(root, 'out'));
    const same = await inputSums(file, inputs, options, unattended);
    expect([...sums.keys()].sort()).toEqual([...same.keys()].sort());
    expect(sums.size).toBe(7 * folder.summary.blocks);
    for (const [name, { sums: numbers, count }] of sums) {
      expect(count).toBe(10);
      expect(relativeError(same.get(name)?.sums ?? Float32Array.of(), numbers)).toBeLessThan(1e-5);
    }
    const path = join(root, 'im.gguf');
    await writeImportance(path, sums, { texts: ['a.txt'], sequences: 2, length: 6 }, unattended);
    const { metadata, tensors } = await readGgufHeader(path);
    expect(Object.fromEntries(metadata)).toMatchObject({
      'general.type': 'imatrix',
      'imatrix.chunk_count': 2,
      'imatrix.chunk_size': 6,
    });
    expect(tensors.slice(0, 2).map(({ name, shape }) => [name, shape])).toEqual([
      ['blk.0.attn_k.weight.in_sum2', [1, 48]],
      ['blk.0.attn_k.weight.counts', [1, 1]],
    ]);
    const read = await readImportance(path);
    for (const [name, { sums: numbers, count }] of sums) {
      expect(read.get(name)).toEqual(numbers.map((sum) => sum / count));
    }
  });

  it('replaces no file, such as the model that it is computed from', async () => {
    const model = join(root, 'kept.gguf');
    copyFileSync(ggufFixture('llama.gguf'), model);
    const { code, stderr } = await runCli(['imatrix', model, '--out', model]);
    expect(code).toBe(1);
    expect(stderr).toContain('kept.gguf: The file exists already. Choose another name');
    expect(readFileSync(model).equals(readFileSync(ggufFixture('llama.gguf')))).toBe(true);
  });

  it('is refused where it is none, does nothing, or its layers have no names', async () => {
    const file = await rejection(readImportance(ggufFixture('llama.gguf')));
    expect(file.message).toMatch(/general\.type: The file is not an importance matrix/);
    const opt = await openModelFiles(fixture('opt'));
    const names = await rejection(inputSums(opt, inputs, options, unattended));
    expect(names.message).toMatch(/opt models have no names/);
  });
});
