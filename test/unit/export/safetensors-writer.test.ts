import { readFileSync } from 'node:fs';
import { mkdtemp, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dtypeBits, elementCount } from '../../../extension/core/checkpoints/lazy-tensor';
import type { SafetensorsDType, LazyTensor } from '../../../extension/core/checkpoints/lazy-tensor';
import {
  openSafetensors,
  readSafetensorsHeader,
  encodeHeader,
} from '../../../extension/core/checkpoints/safetensors';
import { ByteCopier } from '../../../extension/core/export/byte-copier';
import { writeSafetensors } from '../../../extension/core/export/hugging-face/safetensors-writer';
import { planShards } from '../../../extension/core/export/weight-plan';
import type { PlannedTensor } from '../../../extension/core/export/weight-plan';
import { unattended } from '../../../extension/core/jobs/job';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { prune, readConfig } from './pruning';
import { randomRuns } from '../sample';

const root = temporaryFolder();
const freshFolder = async (): Promise<string> => mkdtemp(join(root, 'case-'));

const wholeBytes = (Object.keys(dtypeBits) as SafetensorsDType[]).filter(
  (dtype) => dtypeBits[dtype] % 8 === 0,
);

const readTensors = (file: string): fc.Arbitrary<PlannedTensor[]> =>
  fc
    .array(
      fc.record({
        name: fc
          .string({ unit: 'grapheme', minLength: 1 })
          .filter((name) => name !== '__metadata__'),
        dtype: fc.constantFrom(...wholeBytes),
        shape: fc.array(fc.nat({ max: 5 }), { maxLength: 3 }),
        gap: fc.nat({ max: 3 }),
      }),
      { maxLength: 8 },
    )
    .map((drafts) => {
      let offset = 0;
      const byName = new Map<string, PlannedTensor>();
      for (const { name, dtype, shape, gap } of drafts) {
        const length = (elementCount(shape) * dtypeBits[dtype]) / 8;
        const tensor: LazyTensor = { name, dtype, shape, file, offset: offset + gap, length };
        byName.set(name, { name, tensor });
        offset += gap + length;
      }
      return [...byName.values()];
    });

describe('safetensors written', () => {
  it('have contiguous offsets, an aligned header and the bytes of the source', async () => {
    const folder = await freshFolder();
    const file = join(folder, 'source.bytes');
    const bytes = Buffer.from(Array.from({ length: 8192 }, (_, i) => (i * 31 + (i >> 8)) & 255));
    await writeFile(file, bytes);
    let count = 0;
    await fc.assert(
      fc.asyncProperty(
        readTensors(file),
        fc.dictionary(fc.string(), fc.string()),
        async (tensors, metadata) => {
          const path = join(folder, `${count++}.safetensors`);
          const header = encodeHeader(tensors, metadata);
          expect(header.length % 8).toBe(0);
          const copier = new ByteCopier(0, unattended);
          const handle = await open(path, 'wx');
          await handle.write(header);
          await copier.copy(
            tensors.map(({ tensor }) => tensor),
            handle,
            path,
            header.length,
          );
          await handle.close();
          await copier.close();
          // Reading refuses holes, overlaps, wrong lengths and bytes that no tensor claims.
          const read = await readSafetensorsHeader(path);
          expect(read.metadata).toEqual(metadata);
          expect(read.dataStart).toBe(header.length);
          const written = readFileSync(path);
          for (const { name, tensor } of tensors) {
            const found = read.tensors.find((candidate) => candidate.name === name);
            expect(found).toMatchObject({ dtype: tensor.dtype, shape: tensor.shape });
            const at = found?.offset ?? -1;
            expect(written.subarray(at, at + tensor.length)).toEqual(
              bytes.subarray(tensor.offset, tensor.offset + tensor.length),
            );
          }
        },
      ),
      { numRuns: randomRuns(60, 15) },
    );
  });

  it('are sharded as the source, with a correct index and its own fields kept', async () => {
    const out = join(await freshFolder(), 'pruned');
    const source = await openSafetensors(fixture('llama-sharded', 'model.safetensors.index.json'));
    await prune(fixture('llama-sharded'), ['block.1.attention', 'block.1.feedforward'], out);
    const written = await openSafetensors(join(out, 'model.safetensors.index.json'));
    expect(written.files).toHaveLength(source.files.length);
    expect(written.metadata).toEqual({ format: 'pt' });
    const index = JSON.parse(readFileSync(join(out, 'model.safetensors.index.json'), 'utf8')) as {
      metadata: Record<string, number>;
    };
    const tensors = [...written.tensors.values()];
    expect(index.metadata).toEqual({
      total_parameters: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      total_size: tensors.reduce((sum, { length }) => sum + length, 0),
    });
    expect([...written.tensors.keys()]).toContain('model.layers.1.self_attn.q_proj.weight');
    expect([...written.tensors.keys()]).not.toContain('model.layers.2.self_attn.q_proj.weight');
  });

  it('can be divided under a size limit, and joined', async () => {
    const folder = await freshFolder();
    const removed = ['block.0.attention'];
    const limit = 20_000;
    await prune(fixture('llama-sharded'), removed, join(folder, 'many'), { maxShardBytes: limit });
    const many = await openSafetensors(join(folder, 'many', 'model.safetensors.index.json'));
    expect(many.files.length).toBeGreaterThan(3);
    for (const file of many.files) {
      const retained = [...many.tensors.values()].filter((tensor) => tensor.file === file);
      expect(retained.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(limit);
    }
    await prune(fixture('llama-sharded'), removed, join(folder, 'one'), { maxShardBytes: 1e9 });
    const one = await openSafetensors(join(folder, 'one', 'model.safetensors'));
    expect([...one.tensors.keys()].sort()).toEqual([...many.tensors.keys()].sort());
    expect(readConfig(join(folder, 'one'))).toEqual(readConfig(join(folder, 'many')));
  });

  it('writes a tensor above the limit into its own file', () => {
    const tensors = [1, 5, 1, 1, 1].map((length, i): PlannedTensor => {
      const name = String(i);
      return { name, tensor: { name, dtype: 'U8', shape: [length], file: '', offset: 0, length } };
    });
    const shards = planShards(tensors, 2).map(({ tensors: held }) => held.map(({ name }) => name));
    expect(shards).toEqual([['0'], ['1'], ['2', '3'], ['4']]);
  });

  it('keep the metadata of the source, and are marked as made for PyTorch', async () => {
    const folder = await freshFolder();
    const name = 'x';
    const file = join(folder, 'source');
    await writeFile(file, 'abcd');
    const tensor: LazyTensor = { name, dtype: 'F32', shape: [1], file, offset: 0, length: 4 };
    const source = {
      tensors: new Map([[name, tensor]]),
      files: [file],
      entry: file,
      metadata: { licence: 'MIT' },
    };
    const copier = new ByteCopier(4, unattended);
    const shards = planShards([{ name, tensor }], undefined);
    expect(await writeSafetensors(folder, shards, source, copier)).toEqual(['model.safetensors']);
    await copier.close();
    const { metadata } = await readSafetensorsHeader(join(folder, 'model.safetensors'));
    expect(metadata).toEqual({ format: 'pt', licence: 'MIT' });
  });
});
