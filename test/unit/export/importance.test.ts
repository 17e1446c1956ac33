import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { convert } from '../../../extension/core/export/gguf/gguf-tensors';
import { readImportance, writeImportance } from '../../../extension/core/export/gguf/importance';
import { inputSums } from '../../../extension/core/export/gguf/input-sums';
import { quantizeRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import { unattended } from '../../../extension/core/jobs/job';
import { allRows } from '../../../extension/core/models/gguf/gguf-rows';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { runCli } from '../cli/run-cli';
import { familyFixture, fixture, relativeError } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { prune, rejection } from './pruning';

const root = temporaryFolder();
const options = { device: 'cpu', memoryBytes: 1 << 30 } as const;
const inputs = [Int32Array.of(3, 5, 8, 13, 21, 34), Int32Array.of(4, 6, 10, 16)];

describe('an importance matrix', () => {
  it('is the mean square of the inputs of each layer, the same for a folder and its GGUF file', async () => {
    const folder = await openModelFiles(fixture('llama-gqa-untied'));
    const sums = await inputSums(folder, inputs, options, unattended);
    await prune(folder.path, [], join(root, 'out'), { format: 'gguf' });
    const file = await openModelFiles(join(root, 'out'));
    const same = await inputSums(file, inputs, options, unattended);
    expect([...sums.keys()].sort()).toEqual([...same.keys()].sort());
    expect(sums.size).toBe(7 * folder.summary.blocks);
    for (const [name, { sums: numbers, counts }] of sums) {
      expect(counts).toEqual([10]);
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
    for (const [name, { sums: numbers, counts }] of sums) {
      expect(read.get(name)).toEqual(numbers.map((sum) => sum / (counts[0] ?? 0)));
    }
  });

  it.each([
    ['qwen2_moe', 'a tensor for each expert'],
    ['gpt_oss', 'one of all, gates and ups in turns'],
  ])('contains the experts of %s, whose folder has %s', async (type) => {
    const folder = await openModelFiles(familyFixture(type));
    const sums = await inputSums(folder, inputs, options, unattended);
    const out = join(root, type);
    await prune(folder.path, [], out, { format: 'gguf', types: { mix: 'F32' } });
    const same = await inputSums(await openModelFiles(out), inputs, options, unattended);
    expect([...sums.keys()].sort()).toEqual([...same.keys()].sort());
    const tensors = ['gate', 'up', 'down'].map((part) => `blk.1.ffn_${part}_exps.weight`);
    for (const name of tensors) {
      const [here, there] = [sums.get(name), same.get(name)];
      expect(here?.counts.length).toBeGreaterThan(1);
      expect(here?.counts).toEqual(there?.counts);
      const none = Float32Array.of();
      expect(relativeError(there?.sums ?? none, here?.sums ?? none)).toBeLessThan(1e-5);
    }
    const path = join(root, `${type}.imatrix.gguf`);
    await writeImportance(path, sums, { texts: [], sequences: 2, length: 6 }, unattended);
    const importance = await readImportance(path);
    for (const name of tensors) {
      const { sums: numbers, counts } = sums.get(name) ?? { sums: Float32Array.of(), counts: [] };
      const length = numbers.length / counts.length;
      const means = numbers.map((sum, i) => {
        const count = counts[Math.floor(i / length)] ?? 0;
        return count === 0 ? 1 : sum / count;
      });
      expect(importance.get(name)).toEqual(means);
    }
    // Rounding takes them: other numbers than without. Rows of `down` are no whole blocks here.
    const wide = tensors.slice(0, 2);
    const rounded = async (name: string, types: object): Promise<Buffer> => {
      await prune(folder.path, [], join(root, name), { format: 'gguf', types });
      return readFileSync(
        join(root, name, readdirSync(join(root, name)).find((one) => one.endsWith('.gguf')) ?? ''),
      );
    };
    const mix = {
      ...{ mix: 'F32' as const, tensors: Object.fromEntries(wide.map((one) => [one, 'Q4_0'])) },
    };
    const [plain, weighted] = [
      await rounded(`${type}-plain`, mix),
      await rounded(`${type}-weighted`, {
        ...mix,
        importance: new Map(tensors.map((name) => [name, importance.get(name)])),
      }),
    ];
    expect(weighted.length).toBe(plain.length);
    expect(weighted.equals(plain)).toBe(false);
  });

  it.each(['folder', 'GGUF file'])(
    'of the original weighs the experts that a %s keeps',
    async (kind) => {
      const folder = familyFixture('qwen2_moe');
      const opened = await openModelFiles(folder);
      const sums = await inputSums(opened, inputs, options, unattended);
      const importance = new Map([...sums].map(([name, { sums: numbers }]) => [name, numbers]));
      const removed = opened.summary.sublayers.flatMap(({ id, kind: one }) =>
        one === 'expert' ? [`${id}.0`] : [],
      );
      const plain = join(root, `experts-${kind}-plain`);
      await prune(folder, [], plain, { format: 'gguf', types: { mix: 'F32' } });
      const source = kind === 'folder' ? folder : plain;
      const wide = ['gate', 'up'].map((part) => `blk.1.ffn_${part}_exps.weight`);
      const types = {
        mix: 'F32' as const,
        tensors: Object.fromEntries(wide.map((name) => [name, 'Q4_0'])),
        importance,
      };
      const expertsIn = async (out: string, gone: string[]): Promise<Buffer[][]> => {
        await prune(source, gone, join(root, out), { format: 'gguf', types });
        const [file = ''] = readdirSync(join(root, out)).filter((name) => name.endsWith('.gguf'));
        const { tensors } = await readGgufHeader(join(root, out, file));
        const all = readFileSync(join(root, out, file));
        return wide.map((name) => {
          const {
            offset = 0,
            length = 0,
            shape = [],
          } = tensors.find((one) => one.name === name) ?? {};
          const each = length / (shape[0] ?? 1);
          return Array.from({ length: shape[0] ?? 0 }, (_, i) =>
            all.subarray(offset + i * each, offset + (i + 1) * each),
          );
        });
      };
      const full = await expertsIn(`experts-${kind}-full`, []);
      const fewer = await expertsIn(`experts-${kind}-fewer`, removed);
      for (const [i, experts] of full.entries()) {
        expect(experts.length).toBeGreaterThan(2);
        expect(fewer[i]).toEqual(experts.slice(1));
      }
    },
  );

  it('measured on the original weights the same tensors after a block is removed', async () => {
    const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
    const { model } = await openModelFiles(sample);
    const importance = new Map(
      [...(await inputSums(await openModelFiles(sample), inputs, options, unattended))].map(
        ([name, { sums }]) => [name, sums] as const,
      ),
    );
    const bytesIn = async (out: string, removed: string[]): Promise<Map<string, string>> => {
      const types = { mix: 'Q4_0', importance } as const;
      await prune(sample, removed, join(root, out), { format: 'gguf', types });
      const [file = ''] = readdirSync(join(root, out)).filter((name) => name.endsWith('.gguf'));
      const { tensors } = await readGgufHeader(join(root, out, file));
      const all = readFileSync(join(root, out, file));
      return new Map(
        tensors.map(({ name, offset, length }) => [
          name,
          all.subarray(offset, offset + length).toString('base64'),
        ]),
      );
    };
    const removedIds = [`block.1.attention`, `block.1.feedforward`];
    const [full, fewer] = [await bytesIn('full', []), await bytesIn('fewer', removedIds)];
    expect(fewer.get('blk.1.ffn_up.weight')).toBe(full.get('blk.2.ffn_up.weight'));
    const last = model.summary.blocks - 1;
    expect(fewer.get(`blk.${last - 1}.attn_q.weight`)).toBe(full.get(`blk.${last}.attn_q.weight`));
  });

  it('of other inputs than a tensor has is refused, naming the tensor', async () => {
    const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
    const importance = new Map([['blk.3.ffn_down.weight', new Float32Array(32).fill(1)]]);
    const types = { mix: 'Q4_0', importance } as const;
    const error = await rejection(
      prune(sample, [], join(root, 'other'), { format: 'gguf', types }),
    );
    expect(error).toFailWith({ code: 'importance-size-mismatch', field: 'imatrix' });
    expect(readdirSync(root)).not.toContain('other');
  });

  it('weighs each expert of a stacked tensor by its own part', async () => {
    const [experts, rows, length] = [3, 2, 32];
    const numbers = Float32Array.from({ length: experts * rows * length }, (_, i) =>
      Math.sin(i * 7.3),
    );
    const weights = numbers.map((value) => value * value + 0.01).subarray(0, experts * length);
    const file = join(root, 'stacked.bin');
    writeFileSync(file, new Uint8Array(numbers.buffer));
    const tensor = {
      name: 'x',
      file,
      dtype: 'F32',
      offset: 0,
      length: numbers.byteLength,
    } as const;
    const pieces: Uint8Array[] = [];
    const stacked = {
      ...allRows({ ...tensor, shape: [experts, rows, length] }),
      type: 'Q4_0',
    } as const;
    for await (const piece of convert(
      'x',
      { ...stacked, importance: weights },
      unattended.cancellation,
    )) {
      pieces.push(piece);
    }
    const expected = Array.from({ length: experts }, (_, i) =>
      quantizeRows(
        'Q4_0',
        numbers.subarray(i * rows * length, (i + 1) * rows * length),
        length,
        weights.subarray(i * length, (i + 1) * length),
      ),
    );
    expect(Buffer.concat(pieces)).toEqual(Buffer.concat(expected));
  });

  it('replaces no file, such as the model that it is computed from', async () => {
    const model = join(root, 'kept.gguf');
    copyFileSync(ggufFixture('llama.gguf'), model);
    const { code, stderr } = await runCli(['imatrix', model, '--out', model]);
    expect(code).toBe(1);
    expect(stderr).toContain('kept.gguf: The file exists already. Choose another name');
    expect(readFileSync(model).equals(readFileSync(ggufFixture('llama.gguf')))).toBe(true);
  });

  it('is refused if it is invalid, has no effect, or its layers have no names', async () => {
    const file = await rejection(readImportance(ggufFixture('llama.gguf')));
    expect(file).toFailWith({
      code: 'importance-file-invalid',
      file: 'llama.gguf',
      field: 'general.type',
    });
    const opt = await openModelFiles(fixture('opt'));
    const names = await rejection(inputSums(opt, inputs, options, unattended));
    expect(names).toFailWith({ code: 'gguf-names-unknown', file: 'opt' });
  });
});
