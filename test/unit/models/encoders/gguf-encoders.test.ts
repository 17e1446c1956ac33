import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { loadTokenizer } from '../../../../extension/core/data/tokenizer';
import { ByteCopier } from '../../../../extension/core/export/byte-copier';
import { copied } from '../../../../extension/core/export/gguf/gguf-tensors';
import { planGguf, writeGguf } from '../../../../extension/core/export/gguf/gguf-writer';
import { headerEntry } from '../../../../extension/core/export/gguf/header-entries';
import { unattended } from '../../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../../extension/core/models/open-model';
import { profileModel } from '../../../../extension/core/prune/profile-model';
import { defaultSettings } from '../../../../extension/core/prune/options';
import { computeLogits, prune, rejection } from '../../export/pruning';
import { relativeError } from '../../fixtures';
import { encoderFile, encoderGolden, encoderNames, readSamples } from '../../gguf-encoder-fixtures';
import { temporaryFolder } from '../../temporary-folder';

const folder = temporaryFolder();
let count = 0;
const fresh = (): string => join(folder, `${count++}`);

describe('an encoder in a GGUF file', () => {
  it.each(encoderNames)(
    '%s agrees with transformers to 1e-5, with its own pooling',
    async (name) => {
      const { inputIds, output, pooling } = encoderGolden(name);
      const model = await openModel(encoderFile(name));
      expect(model.output).toMatchObject({
        name: pooling === 'none' ? 'last_hidden_state' : 'sentence_embedding',
        givesScores: false,
        seesWhole: true,
      });
      expect(model.summary.warnings).toEqual([]);
      expect(relativeError(await computeLogits(model, inputIds), output)).toBeLessThan(1e-5);
    },
  );

  it.each([
    ['bert', 'word-piece'],
    ['nomic-bert', 'word-piece-cased'],
    ['xlm-roberta', 'unigram'],
    ['modern-bert', 'byte-level'],
  ])('%s divides texts as a folder with the tokenizer %s does', async (name, kind) => {
    const tokenizer = await loadTokenizer(encoderFile(name));
    const samples = readSamples(kind);
    expect(samples.length).toBeGreaterThan(10);
    for (const { text, ids } of samples) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids]);
    }
    expect(tokenizer.decode([...tokenizer.encode('right it')])).toBe('right it');
  });

  /** A copy of a fixture with other keys. */
  const withEntries = async (name: string, entries: readonly Buffer[]): Promise<string> => {
    const header = await readGgufHeader(encoderFile(name));
    const replaced = new Map(
      entries.map((entry) => [entry.toString('utf8', 8, 8 + entry.readUInt32LE()), entry]),
    );
    const tensors = header.tensors.map((tensor) => copied({ name: tensor.name, tensor }));
    const plan = await planGguf(header, { blocks: [0, 1], replaced }, tensors);
    const path = `${fresh()}.gguf`;
    const copier = new ByteCopier(plan.bytes, unattended);
    await writeGguf(path, plan, copier);
    await copier.close();
    return path;
  };

  it('is refused if it scores pairs', async () => {
    const path = await withEntries('bert', [headerEntry.integer('bert.pooling_type', 4)]);
    const { message } = await rejection(openModel(path));
    expect(message).toMatch(/bert\.pooling_type: Pooling 4 is not supported, only none, mean/);
  });

  it('is refused if attention is normalized twice', async () => {
    const source = encoderFile('jina-bert-v2');
    const header = await readGgufHeader(source);
    const tensors = header.tensors.flatMap((tensor) => [
      copied({ name: tensor.name, tensor }),
      ...(tensor.name === 'blk.0.attn_output_norm.weight'
        ? [copied({ name: 'blk.0.attn_norm_2.weight', tensor })]
        : []),
    ]);
    const plan = await planGguf(header, { blocks: [0, 1], replaced: new Map() }, tensors);
    const path = `${fresh()}.gguf`;
    const copier = new ByteCopier(plan.bytes, unattended);
    await writeGguf(path, plan, copier);
    await copier.close();
    const { message } = await rejection(openModel(path));
    expect(message).toMatch(
      /blk\.0\.attn_norm_2\.weight: jina-bert-v2 files with a second attention norm/,
    );
  });

  it('is refused if the experts are not in every second block', async () => {
    const key = 'nomic-bert-moe.moe_every_n_layers';
    const path = await withEntries('nomic-bert-moe', [headerEntry.integer(key, 3)]);
    const { message } = await rejection(openModel(path));
    expect(message).toMatch(
      /moe_every_n_layers: nomic-bert-moe files with experts in blocks other/,
    );
  });

  it('gives all hidden states without the key of pooling', async () => {
    const path = await withEntries('bert', [headerEntry.integer('bert.pooling_type', 0)]);
    const { inputIds } = encoderGolden('bert');
    const all = await computeLogits(path, inputIds);
    const pooled = await computeLogits(encoderFile('bert'), inputIds);
    expect(all).toHaveLength(pooled.length * 24);
    const mean = [...Array(32).keys()].map(
      (channel) =>
        [...Array(24).keys()].reduce((sum, row) => sum + (all[row * 32 + channel] ?? 0), 0) / 24,
    );
    expect(relativeError(Float32Array.from(mean), pooled.slice(0, 32))).toBeLessThan(1e-5);
  });

  it('is pruned to whole blocks if all their tensors can be removed, and renumbers the windows', async () => {
    for (const [name, block, left] of [
      ['modern-bert', 0, 3],
      ['modern-bert', 2, 3],
      ['modern-bert', 3, 3],
      ['neo-bert', 0, 1],
    ] as const) {
      const source = encoderFile(name);
      const { inputIds } = encoderGolden(name);
      const removed = [`block.${block}.attention`, `block.${block}.feedforward`];
      const out = fresh();
      const { verification } = await prune(source, removed, out, { format: 'gguf' });
      expect(verification.relativeError).toBeLessThan(1e-5);
      const written = join(out, `${name}.gguf`);
      expect((await openModel(written)).summary.blocks).toBe(left);
      const expected = await computeLogits(source, inputIds, removed);
      expect(relativeError(await computeLogits(written, inputIds), expected)).toBeLessThan(1e-5);
    }
  });

  it('keeps blocks whose norms stay, and gives the reason', async () => {
    const removed = ['block.1.attention', 'block.1.feedforward'];
    const { message } = await rejection(
      prune(encoderFile('bert'), removed, fresh(), { format: 'gguf' }),
    );
    expect(message).toMatch(/block 1 of a bert model still changes its input/);
    const single = ['block.1.attention'];
    await expect(
      prune(encoderFile('modern-bert'), single, fresh(), { format: 'gguf' }),
    ).rejects.toFailWith({
      code: 'single-sublayers',
      file: 'modern-bert.gguf',
      field: 'gguf blocks',
    });
  });

  it.each(['bert', 'jina-bert-v2', 'neo-bert', 'nomic-bert-moe'])(
    '%s is profiled by its embeddings',
    async (name) => {
      const profile = await profileModel(
        {
          model: await openModelFiles(encoderFile(name)),
          calibration: { file: 'random', sequences: 2, length: 16 },
          settings: {
            ...defaultSettings,
            ...{ metric: 'angular', mode: 'exact', baselines: [], exclude: 0 },
            budget: { kind: 'count', count: 1 },
          },
          ...{ device: 'cpu', memoryBytes: 1 << 28, out: undefined, journal: fresh() },
        },
        { bundledText: '', version: '1.0.0' },
        unattended,
      );
      expect(profile.rounds).toHaveLength(1);
      expect(profile.rounds[0]?.distance).toBeGreaterThan(0);
      expect(profile.rounds[0]?.distance).toBeLessThan(1);
    },
  );

  it('is written in other types', async () => {
    const out = fresh();
    const options = { format: 'gguf', types: { mix: 'Q8_0' } } as const;
    const { verification } = await prune(encoderFile('bert'), [], out, options);
    expect(verification.relativeError).toBeLessThan(0.2);
    const { tensors } = await readGgufHeader(join(out, 'bert-Q8_0.gguf'));
    const types = new Map(tensors.map(({ name, dtype }) => [name, dtype]));
    expect(types.get('blk.0.attn_q.weight')).toBe('Q8_0');
    expect(types.get('token_types.weight')).toBe('F32');
    expect(types.get('position_embd.weight')).toBe('F32');
  });
});
