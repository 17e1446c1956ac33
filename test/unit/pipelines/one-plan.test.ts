import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { readBytes } from '../../../extension/core/checkpoints/read-tensor';
import { readImportance } from '../../../extension/core/export/gguf/importance';
import { withoutInputs } from '../../../extension/core/export/gguf/input-sums';
import { unattended } from '../../../extension/core/jobs/job';
import { costsFolder } from '../../../extension/core/jobs/user-cache';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { parseRanges } from '../../../extension/core/models/width-pruning/number-ranges';
import { readWidthPruning } from '../../../extension/core/models/width-pruning/prune-width';
import { apply } from '../../../extension/core/operations/apply';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { imatrix } from '../../../extension/core/operations/imatrix';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { planCompression } from '../../../extension/core/operations/plan-compression';
import { profile } from '../../../extension/core/operations/profile';
import { prune } from '../../../extension/core/operations/prune';
import { sensitivity } from '../../../extension/core/operations/sensitivity';
import { explainNotInGguf } from '../../../extension/core/pipelines/gguf-changes';
import { planFor } from '../../../extension/core/plans/plan';
import type { Plan } from '../../../extension/core/plans/plan';
import { parsePlan } from '../../../extension/core/plans/plan-schema';
import { planUnderBudget } from '../../../extension/core/tensornet/budget/plan-under-budget';
import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { parseSensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile-schema';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { measureDistance } from '../tensornet/whole-distance';

const folder = temporaryFolder();
const models = new ModelCache({ capacity: 2 });
const context: OperationContext = {
  ...unattended,
  environment: {
    ...{ samples: join(import.meta.dirname, '../../../samples'), version: '0', bundles: '' },
    costsFolder: costsFolder(),
    open: async (path: string) => models.open(path),
  },
};
const calibration = { file: 'random', sequences: 2, length: 8 };
const random = { device: 'cpu', calibration: 'random', sequences: 2, length: 8 } as const;
const measuring = {
  ...random,
  methods: ['gguf:Q8_0:plain', 'gguf:Q4_0:plain'],
  widths: ['50%'],
  precision: 0,
  metric: 'kl',
  workers: 1,
} as const;

interface Source {
  readonly model: string;
  readonly sensitivity: string;
  readonly profile: string;
  readonly table: SensitivityProfile;
}

/** A model, what each change of it costs, and what each removal does. */
async function measured(modelType: 'llama' | 'qwen2'): Promise<Source> {
  const model = await makeRandomModel({ seed: 3, blocks: 4, inner: 128, modelType });
  const table = join(folder, `${modelType}.sensitivity.json`);
  const layers = join(folder, `${modelType}.layerprofile.json`);
  await sensitivity.run(buildRequest(sensitivity, { ...measuring, model, out: table }), context);
  const rounds = { granularity: 'sublayer', metric: 'kl', remove: 1 } as const;
  await profile.run(buildRequest(profile, { ...random, ...rounds, model, out: layers }), context);
  return {
    ...{ model, sensitivity: table, profile: layers },
    table: parseSensitivityProfile(await readFile(table, 'utf8'), table),
  };
}

async function planned(
  { model, sensitivity: known, profile: layers }: Source,
  limits: readonly string[],
  out: string,
  more: object = {},
): Promise<{ readonly plan: Plan; readonly distance: number; readonly cost: number }> {
  const request = { model, sensitivity: known, profile: layers, out, limits, ...more };
  const made = await planCompression.run(buildRequest(planCompression, request), context);
  return { plan: parsePlan(await readFile(out, 'utf8'), out), ...made };
}

async function applied(plan: string | Plan, out: string, more: object = {}): Promise<string> {
  const request = { plan, out, format: 'gguf', device: 'cpu', quality: false, ...more } as const;
  const { path, files } = await apply.run(buildRequest(apply, request), context);
  return join(path, files.find(({ name }) => name.endsWith('.gguf'))?.name ?? '');
}

let llama: Source;
let qwen: Source;

beforeAll(async () => {
  llama = await measured('llama');
  qwen = await measured('qwen2');
});

describe('removals that a GGUF file supports', () => {
  it("depend on llama.cpp's loader", () => {
    const attention = (block: number): string[] => [`block.${block}.attention`];
    const whole = (block: number): string[] => [...attention(block), `block.${block}.feedforward`];
    expect(qwen.table.gguf?.removable).toEqual([0, 1, 2, 3].map(whole));
    expect(llama.table.gguf?.removable).toEqual([
      whole(0),
      ...[1, 2, 3].flatMap((block) => [attention(block), whole(block)]),
    ]);
    expect(qwen.table.gguf?.widths).toMatchObject({ feedforward: 'same' });
    expect(llama.table.gguf?.widths).toEqual({ attention: 'each', feedforward: 'each' });
  });
});

describe('one plan of removals, widths and types', () => {
  it.each([
    ['llama', 'removals', 'remove', { keepWidths: true, rounds: 0 }],
    ['qwen2', 'removals', 'remove', { keepWidths: true, rounds: 1 }],
    ['llama', 'widths', 'widths', { rounds: 0 }],
    ['qwen2', 'widths', 'widths', { rounds: 0 }],
  ] as const)('of %s with %s is measured as a whole and written in one pass', async (...one) => {
    const [type, , field, more] = one;
    const source = type === 'llama' ? llama : qwen;
    const { bytes = 0 } = source.table.gguf ?? {};
    const limit = Math.round(0.45 * bytes);
    const out = join(folder, `${type}-${field}.plan.json`);
    const limits = [`bytes<${limit}`, 'parameters<75%'];
    const { plan, distance, cost } = await planned(source, limits, out, more);
    expect(plan[field]?.length).toBeGreaterThan(0);
    expect(Object.keys(plan.types ?? {}).length).toBeGreaterThan(0);
    const file = await applied(out, join(folder, `${type}-${field}`));
    const header = await readGgufHeader(file);
    expect((await readFile(file)).length).toBeLessThanOrEqual(limit);
    expect((await readFile(file)).length).toBeLessThan(cost + 512);
    expect(distance / (await measureDistance(file, source.model, calibration, 0))).toBeCloseTo(
      1,
      4,
    );
    const counts = new Map<string, number>();
    for (const { dtype } of header.tensors) {
      counts.set(dtype, (counts.get(dtype) ?? 0) + 1);
    }
    const quantized = Object.values(plan.types ?? {}).filter((one) => one !== 'F16');
    expect((counts.get('Q8_0') ?? 0) + (counts.get('Q4_0') ?? 0)).toBe(quantized.length);
  });

  it('has one width per kind if llama.cpp reads one', async () => {
    const { table } = qwen;
    const removable = table.model.sublayers.map(({ id }) => ({ sublayer: id, distance: 1e3 }));
    const limits = [{ unit: 'parameters', ratio: 0.75 } as const];
    const { widths, remove } = await planUnderBudget(table, { limits }, removable);
    expect(widths.length).toBe(4 - remove.length / 2);
    const sizes = widths.map((one) => 128 - (parseRanges(one.remove) ?? []).length);
    expect(new Set(sizes)).toEqual(new Set([64]));
    const opened = await openModelFiles(qwen.model);
    expect(await explainNotInGguf(opened, { widths, remove })).toBeUndefined();
    const [first] = widths;
    expect(await explainNotInGguf(opened, { widths: first ? [first] : [] })).toMatchObject({
      code: 'uneven-widths',
    });
  });

  it('leaves out a removal that the others forbid', async () => {
    // Without block 0, the attention of block 1 gives the size of the heads.
    const removable = [0, 1].flatMap((block) => [
      { sublayer: `block.${block}.attention`, distance: block === 0 ? 1e-6 : 3e-6 },
      ...(block === 0 ? [{ sublayer: 'block.0.feedforward', distance: 1e-6 }] : []),
    ]);
    const layers = join(folder, 'forbidden.layerprofile.json');
    const known = JSON.parse(await readFile(llama.profile, 'utf8')) as {
      candidates: { sublayer: string; distance: number | null }[];
    };
    const candidates = known.candidates.map(({ sublayer, ...one }) => ({
      ...{ ...one, sublayer },
      distance: removable.find((other) => other.sublayer === sublayer)?.distance ?? null,
    }));
    await writeFile(layers, JSON.stringify({ ...known, candidates }));
    const out = join(folder, 'forbidden.plan.json');
    const { plan } = await planned({ ...llama, profile: layers }, ['parameters<75%'], out, {
      rounds: 0,
    });
    const alone = await planUnderBudget(
      llama.table,
      { limits: [{ unit: 'parameters', ratio: 0.75 }] },
      removable,
    );
    expect(alone.remove).toEqual(['block.0.attention', 'block.0.feedforward', 'block.1.attention']);
    const opened = await openModelFiles(llama.model);
    expect(plan.remove).toEqual(['block.0.attention', 'block.0.feedforward']);
    expect(await explainNotInGguf(opened, plan)).toBeUndefined();
  });
});

describe('a plan for a GGUF file', () => {
  const types = { 'blk.2.ffn_down.weight': 'Q4_0', 'blk.3.ffn_down.weight': 'Q8_0' } as const;
  const widths = [{ sublayer: 'block.3.feedforward', remove: '0-31,64-95' }];

  it('names tensors as in the original, and copies all others', async () => {
    const file = await applied(planFor({ path: llama.model }, {}), join(folder, 'plain'));
    const plan = planFor(
      { path: file },
      { remove: ['block.1', 'block.2.attention'], types, widths },
    );
    const written = await applied(plan, join(folder, 'from-gguf'));
    const [before, after] = [await readGgufHeader(file), await readGgufHeader(written)];
    const find = (header: typeof before, name: string) =>
      header.tensors.find((one) => one.name === name);
    expect(find(after, 'blk.1.ffn_down.weight')?.dtype).toBe('Q4_0');
    expect(find(after, 'blk.2.ffn_down.weight')).toMatchObject({ dtype: 'Q8_0', shape: [16, 64] });
    expect(find(after, 'blk.1.attn_q.weight')).toBeUndefined();
    const changed = /^blk\.1\.ffn_down|^blk\.2\.ffn/;
    let copies = 0;
    for (const tensor of after.tensors.filter(({ name }) => !changed.test(name))) {
      const source = tensor.name.replace(
        /^blk\.(\d)/,
        (_, block: string) => `blk.${[0, 2, 3][Number(block)] ?? 0}`,
      );
      const own = find(before, source);
      if (own === undefined) throw new Error(source);
      expect(await readBytes(tensor, tensor.length)).toEqual(await readBytes(own, own.length));
      copies += 1;
    }
    expect(copies).toBeGreaterThan(15);
    // The same from the folder.
    const folderPlan = { ...plan, model: { path: llama.model } };
    const fromFolder = await applied(folderPlan, join(folder, 'from-folder'));
    const distances = [];
    for (const one of [written, fromFolder]) {
      distances.push(await measureDistance(one, llama.model, calibration, 0));
    }
    expect(distances[0]).toBeCloseTo(distances[1] ?? Number.NaN, 6);
  });

  it('rounds by the importance of the inputs that remain', async () => {
    const importance = join(folder, 'llama.imatrix.gguf');
    await imatrix.run(
      buildRequest(imatrix, { ...random, model: llama.model, out: importance }),
      context,
    );
    const opened = await openModelFiles(llama.model);
    const before = await readImportance(importance);
    const after = withoutInputs(before, opened, readWidthPruning(opened, { widths }));
    const name = 'blk.3.ffn_down.weight';
    const values = before.get(name) ?? new Float32Array();
    expect([...(after.get(name) ?? [])]).toEqual([
      ...values.subarray(32, 64),
      ...values.subarray(96, 128),
    ]);
    const plan = planFor({ path: llama.model }, { types, widths, remove: ['block.1'] });
    const plain = await applied(plan, join(folder, 'nearest'));
    const weighted = await applied(plan, join(folder, 'weighted'), { imatrix: importance });
    expect((await readFile(weighted)).length).toBe((await readFile(plain)).length);
    expect(await readFile(weighted)).not.toEqual(await readFile(plain));
  });

  it('is applied by prune with error feedback', async () => {
    const plan = planFor({ path: llama.model }, { types, widths, remove: ['block.1'] });
    const request = { plan, out: join(folder, 'feedback'), format: 'gguf', ...random } as const;
    const { path, files } = await prune.run(
      buildRequest(prune, { ...request, quality: false, rounding: 'feedback' }),
      context,
    );
    const file = join(path, files.find(({ name }) => name.endsWith('.gguf'))?.name ?? '');
    const { tensors } = await readGgufHeader(file);
    expect(tensors.find(({ name }) => name === 'blk.1.ffn_down.weight')?.dtype).toBe('Q4_0');
  });

  it('is refused with the entry that names a removed tensor, or a type that no longer fits', async () => {
    const out = join(folder, 'no');
    const file = join(folder, 'bad.plan.json');
    const write = async (changes: object): Promise<string> => {
      await writeFile(file, JSON.stringify(planFor({ path: llama.model }, changes)));
      return file;
    };
    await expect(applied(await write({ types, remove: ['block.2'] }), out)).rejects.toFailWith({
      code: 'tensor-unknown',
      file: 'bad.plan.json',
      field: 'types.blk.2.ffn_down.weight',
    });
    const odd = [{ sublayer: 'block.3.feedforward', remove: '0-9' }];
    await expect(applied(await write({ types, widths: odd }), out)).rejects.toFailWith({
      code: 'tensor-rows-not-divisible',
      file: 'bad.plan.json',
      field: 'types.blk.3.ffn_down.weight',
    });
  });
});
