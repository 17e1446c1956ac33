import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../../extension/core/checkpoints/gguf';
import type { GgufHeader } from '../../../../extension/core/checkpoints/gguf';
import { readSafetensorsHeader } from '../../../../extension/core/checkpoints/safetensors';
import { headerEntry } from '../../../../extension/core/export/gguf/header-entries';
import { GgufKeys } from '../../../../extension/core/models/gguf/gguf-keys';
import { listCandidates, nothingToRemove } from '../../../../extension/core/prune/candidates';
import { openModel } from '../../../../extension/core/models/open-model';
import { relativeError } from '../../fixtures';
import { ggufFixture, ggufGolden } from '../../gguf-fixtures';
import { sampled } from '../../sample';
import { runCli } from '../../cli/run-cli';
import { computeLogits, logitsWithout, prune, rejection } from '../pruning';
import { fileIn, makeFolder, fresh, ids, floatValues, none, rewritten } from './family-files';
import { withMoreExperts } from './more-experts';

const fixtures = join(import.meta.dirname, '../../../fixtures/gguf');
/** Parts of a block with a row for each expert. */
const byExpert = /_exps\.|^ffn_gate_inp\.(?:weight|bias)$|^exp_probs_b/;
/** Fixtures whose header has experts. */
const withExperts = readdirSync(fixtures)
  .filter((name) => name.endsWith('.gguf') && !name.startsWith('tokenizer'))
  .filter((name) => readFileSync(join(fixtures, name), 'latin1').includes('.expert_count'))
  .map((name) => name.slice(0, -'.gguf'.length));

/** One of each set of tensors with a row for each expert. */
const sampledFixtures = await sampled(withExperts, async (name) => {
  const { tensors } = await readGgufHeader(ggufFixture(`${name}.gguf`));
  const parts = tensors.map((tensor) => tensor.name.replace(/^blk\.\d+\./, ''));
  return [...new Set(parts.filter((part) => byExpert.test(part)))].sort().join(' ');
});

/** Half of the experts of each MoE layer, others in each block. */
async function firstHalf(file: string): Promise<string[]> {
  const { sublayers } = (await openModel(file)).summary;
  return sublayers.flatMap(({ id, block, experts: { count } = { count: 0 } }) =>
    Array.from({ length: count / 2 }, (_, i) => `${id}.${(2 * i + block) % count}`),
  );
}

const bytesIn = (file: string, { offset, length }: { offset: number; length: number }): Buffer =>
  readFileSync(file).subarray(offset, offset + length);

/** The entries of a header that another one lacks or has otherwise. */
function otherEntries(one: GgufHeader, other: GgufHeader): string[] {
  return [...one.entries].flatMap(([key, entry]) => {
    const same = other.entries.get(key);
    const bytes = bytesIn(one.file, entry);
    return same !== undefined && bytesIn(other.file, same).equals(bytes) ? [] : [key];
  });
}

/** Bytes of each tensor of a file; of one with a row for each expert, those of the experts that stay. */
async function bytesLeft(file: string, removed: readonly string[]): Promise<Map<string, Buffer>> {
  const { tensors } = await readGgufHeader(file);
  const { sublayers, blocks } = (await openModel(file)).summary;
  return new Map(
    tensors.flatMap(({ name, shape, ...range }): [string, Buffer][] => {
      const [, block, part = ''] = /^blk\.(\d+)\.(.*)$/.exec(name) ?? [];
      const { id = '', experts } = sublayers.find(
        (one) => one.kind === 'expert' && one.block === Number(block),
      ) ?? { experts: undefined };
      const bytes = bytesIn(file, range);
      const isByExpert = byExpert.test(part);
      if (Number(block ?? 0) >= blocks) {
        return [];
      }
      if (!isByExpert || experts === undefined) {
        return [[name, bytes]];
      }
      const { count } = experts;
      expect(shape.find((size) => size > 1)).toBe(count);
      const size = bytes.length / count;
      const parts = Array.from({ length: count }, (_, expert) =>
        removed.includes(`${id}.${expert}`)
          ? Buffer.of()
          : bytes.subarray(expert * size, (expert + 1) * size),
      );
      return [[name, Buffer.concat(parts)]];
    }),
  );
}

/** Removes experts and compares header, bytes and logits with the source. */
async function expectRemoved(
  source: string,
  tokens: readonly (readonly number[])[],
  removed: readonly string[],
): Promise<string> {
  const out = fresh();
  await prune(source, removed, out, { format: 'gguf' });
  const file = fileIn(out);
  const [before, after] = [await readGgufHeader(source), await readGgufHeader(file)];
  const [keys, keysBefore] = [new GgufKeys(after, file), new GgufKeys(before, source)];
  const [used, usedBefore] = [keys, keysBefore].map((one) => one.number('expert_used_count'));
  const count = keys.number('expert_count');
  expect(count).toBeLessThan(keysBefore.number('expert_count'));
  expect(used).toBe(Math.min(usedBefore ?? 0, count));
  // Without the blocks that predict further tokens, and with what was implied so far.
  const implied = /\.(?:nextn_predict_layers|expert_gating_func|block_count)$/;
  expect(otherEntries(after, before).filter((key) => !implied.test(key))).toEqual(
    ['expert_count', ...(used === usedBefore ? [] : ['expert_used_count'])].map((key) =>
      keys.name(key),
    ),
  );
  const written = new Map(
    after.tensors.map((tensor): [string, Buffer] => [tensor.name, bytesIn(file, tensor)]),
  );
  const expected = await bytesLeft(source, removed);
  expect([...written.keys()]).toEqual([...expected.keys()]);
  for (const [name, bytes] of expected) {
    expect(written.get(name)?.equals(bytes), name).toBe(true);
  }
  const [whole = none, masked = none] = await logitsWithout(source, tokens, [[], removed]);
  expect(relativeError(masked, whole)).toBeGreaterThan(1e-4);
  expect(relativeError(await computeLogits(file, tokens), masked)).toBeLessThan(1e-6);
  return file;
}

describe('a GGUF file without some experts', () => {
  it('is made of every fixture with experts', () => {
    expect(withExperts.length).toBe(24);
  });

  it.each(sampledFixtures)(
    'of %s has the bytes and the logits of the remaining experts',
    async (name) => {
      const source = ggufFixture(`${name}.gguf`);
      await expectRemoved(source, ggufGolden(name).inputIds, await firstHalf(source));
    },
  );

  it.each(['Q4_K_M', 'IQ4_NL'] as const)('in %s has whole quantization blocks', async (mix) => {
    const out = fresh();
    await prune(ggufFixture('qwen3moe.gguf'), [], out, { format: 'gguf', types: { mix } });
    const source = fileIn(out);
    const removed = await firstHalf(source);
    await expectRemoved(source, ggufGolden('qwen3moe').inputIds, removed);
  });

  it('has a type for each stacked tensor, and the stored bytes of the others', async () => {
    const source = ggufFixture('qwen3moe.gguf');
    const changed = { 'blk.0.ffn_down_exps.weight': 'Q8_0', 'blk.1.ffn_gate_exps.weight': 'Q4_0' };
    const how = { format: 'gguf', types: { tensors: changed } } as const;
    const removed = await firstHalf(source);
    const [whole, out] = [fresh(), fresh()];
    await prune(source, [], whole, how);
    await prune(source, removed, out, how);
    const { tensors } = await readGgufHeader(fileIn(out));
    expect(tensors.find(({ name }) => name === 'blk.0.ffn_down_exps.weight')?.dtype).toBe('Q8_0');
    expect(tensors.find(({ name }) => name === 'blk.1.ffn_gate_exps.weight')?.dtype).toBe('Q4_0');
    const [stored, typed] = [
      await bytesLeft(source, removed),
      await bytesLeft(fileIn(whole), removed),
    ];
    for (const tensor of tensors) {
      const expected = (Object.hasOwn(changed, tensor.name) ? typed : stored).get(tensor.name);
      expect(expected?.equals(bytesIn(fileIn(out), tensor)), tensor.name).toBe(true);
    }
  });

  it.each(['exaone_moe', 'ernie4_5_moe'])(
    'from the folder of %s equals the file without the experts',
    async (name) => {
      const [whole, fromFolder] = [fresh(), fresh()];
      await prune(makeFolder(name), [], whole, floatValues);
      const removed = await firstHalf(fileIn(whole));
      const file = await expectRemoved(fileIn(whole), ids, removed);
      await prune(makeFolder(name), removed, fromFolder, floatValues);
      const [one, other] = [file, fileIn(fromFolder)].map((path) => readFileSync(path));
      expect(one?.equals(other ?? Buffer.of())).toBe(true);
    },
  );

  it('of ERNIE removes columns of a bias that is stored as a row, in a folder too', async () => {
    const [folder, out] = [makeFolder('ernie4_5_moe'), fresh()];
    const removed = await firstHalf(folder);
    await prune(folder, removed, out);
    expect(
      relativeError(await computeLogits(out, ids), await computeLogits(folder, ids, removed)),
    ).toBe(0);
    const { tensors } = await readSafetensorsHeader(join(out, 'model.safetensors'));
    const biases = tensors.filter(({ name }) => name.endsWith('e_score_correction_bias'));
    expect(biases.map(({ shape }) => shape)).toEqual(biases.map(() => [1, 2]));
  });

  it('sends tokens to fewer, if fewer are left than the router chooses', async () => {
    const source = ggufFixture('mixtral.gguf');
    const removed = [0, 1].flatMap((block) => [0, 1, 3].map((j) => `block.${block}.expert.${j}`));
    const file = await expectRemoved(source, ggufGolden('mixtral').inputIds, removed);
    const { metadata } = await readGgufHeader(file);
    expect(metadata.get('llama.expert_used_count')).toBe(1);
  });

  it('has the same number in every block, or is refused', async () => {
    const source = ggufFixture('qwen3moe.gguf');
    const removed = ['block.0.expert.1', 'block.0.expert.2', 'block.1.expert.0'];
    const error = await rejection(prune(source, removed, fresh(), { format: 'gguf' }));
    expect(error.message).toMatch(
      /qwen3moe\.expert_count: llama\.cpp reads one number of experts for all blocks of qwen3moe models, and 2, 3 would remain\. Remove the same number .* `espalier score-experts --ratio`/,
    );
  });

  it('has more of them than groups', async () => {
    const source = ggufFixture('qwen3moe.gguf');
    const grouped = await rewritten(source, {
      expert_group_count: (key) => headerEntry.integer(key, 1),
    });
    const removed = [0, 1].flatMap((block) => [0, 1, 2].map((j) => `block.${block}.expert.${j}`));
    await prune(source, removed, fresh(), { format: 'gguf' });
    const error = await rejection(prune(grouped, removed, fresh(), { format: 'gguf' }));
    expect(error.message).toMatch(
      /qwen3moe\.expert_group_count: llama\.cpp needs more experts than groups .*: 1 expert would remain, in 1 group\. Keep at least 2/,
    );
  });

  it('cannot be made of a model with tables of experts', async () => {
    const out = fresh();
    await prune(makeFolder('deepseek_v4-three'), [], out, floatValues);
    const removed = [1, 2].map((block) => `block.${block}.expert.1`);
    const error = await rejection(prune(fileIn(out), removed, fresh(), { format: 'gguf' }));
    expect(error.message).toMatch(/deepseek4\.expert_count: .* and 4, 3 would remain/);
  });
});

describe('score-experts and apply', () => {
  const score = async (model: string, plan: string) =>
    runCli([
      ...['score-experts', model, '--ratio', '0.5', '--out', plan, '--calibration', 'random'],
      ...['--sequences', '2', '--length', '8', '--device', 'cpu'],
    ]);

  it('write a GGUF file with half of the experts', async () => {
    const [plan, out] = [`${fresh()}.plan.json`, fresh()];
    const scored = await score(ggufFixture('gpt-oss.gguf'), plan);
    expect(scored.code, scored.stderr).toBe(0);
    expect(scored.stdout).toMatch(
      /^expert +mean gate × output +tokens +share of tokens +removed$/m,
    );
    expect(scored.stdout.match(/ yes$/gm)).toHaveLength(4);
    const applied = await runCli(['apply', plan, '--out', out, '--device', 'cpu', '--no-quality']);
    expect(applied.code, applied.stderr).toBe(0);
    const { metadata } = await readGgufHeader(fileIn(out));
    expect(metadata.get('gpt-oss.expert_count')).toBe(2);
  });

  it('refuse before the pass a result that a GGUF file cannot represent', async () => {
    const out = fresh();
    await prune(makeFolder('deepseek_v4-three'), [], out, floatValues);
    const { code, stderr } = await score(fileIn(out), `${fresh()}.plan.json`);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/deepseek4\.expert_count: llama\.cpp reads one number of experts/);
  });
});

describe('a router that chooses from groups', () => {
  const one = [0, 4].map((expert) => `block.1.expert.${expert}`);

  it('keeps equal numbers per group, in a folder, an ONNX file and a GGUF file', async () => {
    const folder = await withMoreExperts(makeFolder('deepseek_v3'), fresh());
    const { sublayers } = (await openModel(folder)).summary;
    const layers = sublayers.filter(({ kind }) => kind === 'expert');
    expect(layers.map(({ experts }) => [experts?.count, experts?.groups, experts?.least])).toEqual(
      layers.map(() => [8, 2, 4]),
    );
    const removed = layers.flatMap(({ id }, i) =>
      [i % 4, (i + 1) % 4, 4 + ((i + 2) % 4), 4 + ((i + 3) % 4)].map((j) => `${id}.${j}`),
    );
    const [whole, pruned] = [fresh(), fresh()];
    await prune(folder, [], whole, floatValues);
    const file = await expectRemoved(fileIn(whole), ids, removed);
    expect((await readGgufHeader(file)).metadata.get('deepseek2.expert_group_count')).toBe(2);
    const masked = await computeLogits(folder, ids, removed);
    await prune(folder, removed, pruned);
    expect(relativeError(await computeLogits(pruned, ids), masked)).toBeLessThan(1e-6);
    const { verification } = await prune(folder, removed, fresh(), { format: 'onnx' });
    expect(verification.relativeError).toBeLessThan(1e-5);
  });

  it('has no candidates of a search, and names the command that removes its experts', async () => {
    const { summary } = await openModel(await withMoreExperts(makeFolder('deepseek_v3'), fresh()));
    expect(listCandidates(summary, 'expert')).toEqual([]);
    expect(nothingToRemove(summary, 'expert').message).toMatch(
      /granularity expert: The router of block\.1\.expert chooses from groups of experts.* `espalier score-experts --ratio`/,
    );
  });

  it('refuses other numbers, and too few', async () => {
    const folder = await withMoreExperts(makeFolder('deepseek_v3'), fresh());
    const uneven = await rejection(prune(folder, one.slice(1), fresh()));
    expect(uneven.message).toMatch(
      /remove: The router of block\.1\.expert chooses from 2 equal groups of 4 experts, but they would keep different numbers\. Remove the same number from each group/,
    );
    const many = [0, 1, 2, 5, 6, 7].map((expert) => `block.1.expert.${expert}`);
    const few = await rejection(prune(folder, many, fresh()));
    expect(few.message).toMatch(
      /Too many of the 8 experts of block\.1\.expert would be removed: each of its 2 groups needs 2\./,
    );
  });
});
