import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { unattended } from '../../../extension/core/jobs/job';
import { costsFolder } from '../../../extension/core/jobs/user-cache';
import { MatrixProducts } from '../../../extension/core/linear-algebra/matrix-products';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { compress } from '../../../extension/core/operations/compress';
import { evaluate } from '../../../extension/core/operations/evaluate';
import { imatrix } from '../../../extension/core/operations/imatrix';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { planCompression } from '../../../extension/core/operations/plan-compression';
import { sensitivity } from '../../../extension/core/operations/sensitivity';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { canTypeLayers } from '../../../extension/core/pipelines/gguf-facts';
import type { PruneResult } from '../../../extension/core/pipelines/prune-result';
import { writeModel } from '../../../extension/core/pipelines/write-model';
import { inEnglish } from '../../../extension/core/message';
import { planFor, plannedChanges } from '../../../extension/core/plans/plan';
import { parsePlan } from '../../../extension/core/plans/plan-schema';
import type { Budget } from '../../../extension/core/tensornet/budget/budget-limits';
import { planUnderBudget } from '../../../extension/core/tensornet/budget/plan-under-budget';
import { planNote } from '../../../extension/core/tensornet/budget/refine-plan';
import { compressMatrix } from '../../../extension/core/tensornet/compress-matrix';
import { reconstruct } from '../../../extension/core/tensornet/reconstruct';
import type {
  MatrixSensitivity,
  SensitivityProfile,
} from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { parseSensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile-schema';
import { familyFixture } from '../fixtures';
import { quantizedFixture } from '../quantized-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { measureDistance } from './whole-distance';

const folder = temporaryFolder();
const run = { device: 'cpu', memoryBytes: 1 << 28 } as const;
const calibration = { file: 'random', sequences: 2, length: 8 };
const models = new ModelCache({ capacity: 1 });
const context: OperationContext = {
  ...unattended,
  environment: {
    ...{ samples: join(import.meta.dirname, '../../../samples'), version: '0', bundles: '' },
    costsFolder: costsFolder(),
    open: async (path: string) => models.open(path),
  },
};
const measuring = {
  methods: ['gguf:plain'],
  precision: 0,
  metric: 'kl',
  workers: 1,
  device: 'cpu',
  calibration: 'random',
  sequences: 2,
  length: 8,
} as const;
const profile = join(folder, 'model.sensitivity.json');
let model: string;
let table: SensitivityProfile;

beforeAll(async () => {
  // Rows of 16 numbers fit no block, those of 256 all.
  model = await makeRandomModel({ seed: 3, blocks: 2, inner: 256 });
  const request = { ...measuring, model, embeddings: true, head: true, out: profile };
  await sensitivity.run(buildRequest(sensitivity, request), context);
  table = parseSensitivityProfile(await readFile(profile, 'utf8'), profile);
});

const listEntries = (role: string): string[] =>
  table.layers
    .filter((layer) => layer.role === role && layer.block === 1)
    .flatMap(({ entries }) => entries.map(({ type = '' }) => type));

/** The only file of a result. */
const resultFile = ({ path, files }: Pick<PruneResult, 'path' | 'files'>): string =>
  join(path, files.find(({ name }) => name.endsWith('.gguf'))?.name ?? '');

async function write(
  types: Readonly<Record<string, string>>,
  out: string,
  source = model,
): Promise<string> {
  const opened = await openModelFiles(source);
  const request = { model: opened, removed: [], out: join(folder, out), ...run };
  return resultFile(
    await writeModel(
      { ...request, format: 'gguf', overwrite: false, types: { tensors: types } },
      unattended,
    ),
  );
}

describe('types of a GGUF file', () => {
  it("are settings, or llama.cpp's fallback types", () => {
    const all = ['Q8_0', 'Q6_K', 'Q5_K', 'Q4_K', 'Q4_0', 'IQ4_XS', 'Q3_K', 'Q2_K'];
    expect(listEntries('down')).toEqual(all);
    expect(listEntries('up')).toEqual(['F16']);
    const [down] = table.layers.filter(({ role }) => role === 'down');
    expect(down?.entries.map(({ bytes }) => bytes / (16 * 256))).toEqual([
      34 / 32,
      210 / 256,
      176 / 256,
      144 / 256,
      18 / 32,
      136 / 256,
      110 / 256,
      84 / 256,
    ]);
    expect(table.gguf?.tensors).toMatchObject({
      'model.layers.1.mlp.down_proj.weight': { 'blk.1.ffn_down.weight': down?.bytes },
      'model.embed_tokens.weight': { 'token_embd.weight': expect.any(Number) as number },
      'lm_head.weight': { 'output.weight': expect.any(Number) as number },
    });
  });

  it.each(['Q8_0', 'Q4_0', 'IQ4_XS', 'Q3_K', 'Q2_K'])(
    'measured as %s change the model as the written file does',
    async (type) => {
      const layer = table.layers.find(({ role, block }) => role === 'down' && block === 1);
      const entry = layer?.entries.find((one) => one.type === type);
      const [name = ''] = Object.keys(table.gguf?.tensors[layer?.tensor ?? ''] ?? {});
      const file = await write({ [name]: type }, `one-${type}`);
      const tensor = (await readGgufHeader(file)).tensors.find((one) => one.name === name);
      expect(tensor).toMatchObject({ dtype: type, length: entry?.bytes });
      // Small distances of Q8_0 are near the rounding of float32.
      expect(
        (entry?.distance ?? 0) / (await measureDistance(file, model, calibration, 0)),
      ).toBeCloseTo(1, 2);
    },
  );

  it.each(['Q8_0', 'Q5_1', 'Q4_K', 'IQ4_NL', 'BF16', 'F16'] as const)(
    'have the numbers of %s to the last bit',
    async (type) => {
      const name = 'blk.0.ffn_down.weight';
      const file = await write({ [name]: type }, `bits-${type}`);
      const tensor = (await readGgufHeader(file)).tensors.find((one) => one.name === name);
      const { model: source } = await openModelFiles(model);
      const layer = source.sublayer(1).linearLayers.find(({ role }) => role === 'down');
      const products = new MatrixProducts('cpu', run.memoryBytes);
      try {
        const setting = { Q8_0: 8, Q5_1: 7, Q4_K: 12, IQ4_NL: 20, BF16: 30, F16: 1 }[type];
        if (tensor === undefined || layer === undefined) throw new Error('there is no such layer');
        const { encoding } = await compressMatrix({ products }, layer, { method: 'gguf', setting });
        const { numbers } = await products.read({ kind: 'stored', tensor });
        expect((await reconstruct(products, encoding)).numbers).toEqual(numbers);
      } finally {
        await products.dispose();
      }
    },
  );

  it('chosen under a limit of bytes are written within it', async () => {
    const { bytes = 0 } = table.gguf ?? {};
    expect((await stat(await write({}, 'as-stored'))).size).toBe(bytes);
    const most = Math.round(0.55 * bytes);
    const out = join(folder, 'types.plan.json');
    const request = { model, sensitivity: profile, out, limits: [`bytes<${most}`], rounds: 1 };
    const places = { embeddings: true, head: true };
    const made = await planCompression.run(
      buildRequest(planCompression, { ...request, ...places }),
      context,
    );
    expect(made.costBefore).toBe(bytes);
    const plan = parsePlan(await readFile(out, 'utf8'), out);
    expect(plan.compress).toBeUndefined();
    const target = { out: join(folder, 'chosen'), format: 'gguf', overwrite: false } as const;
    const result = await applyPlan(
      { model: await openModelFiles(model), plan, ...target, ...run },
      unattended,
    );
    expect(result.bytesAfter).toBeLessThanOrEqual(most);
    expect(Math.abs(result.bytesAfter - made.cost)).toBeLessThan(64);
    const file = resultFile(result);
    const { tensors } = await readGgufHeader(file);
    const written = new Map(tensors.map(({ name, dtype }) => [name, dtype]));
    expect(Object.keys(plan.types ?? {}).length).toBeGreaterThan(4);
    for (const [name, type] of Object.entries(plan.types ?? {})) {
      expect([name, written.get(name)]).toEqual([name, type]);
    }
    expect(made.distance / (await measureDistance(file, model, calibration, 0))).toBeCloseTo(1, 4);
  });
});

describe('types of a quantized folder', () => {
  it.each(['gptq-4-act-order', 'fp8'])(
    'of %s are chosen by the bytes of the file, with packed weights as float16',
    async (name) => {
      const source = quantizedFixture(name);
      const known = join(folder, `${name}.sensitivity.json`);
      const asked = { ...measuring, methods: ['gguf:Q8_0:plain', 'gguf:Q4_0:plain'] };
      const { gguf } = await sensitivity.run(
        buildRequest(sensitivity, { ...asked, model: source, out: known }),
        context,
      );
      const out = join(folder, `${name}.plan.json`);
      const request = { model: source, sensitivity: known, out, budget: 0.6, rounds: 0 };
      const made = await planCompression.run(buildRequest(planCompression, request), context);
      expect(made.costBefore).toBe(gguf?.bytes);
      const target = { format: 'gguf', overwrite: false, ...run } as const;
      const result = await applyPlan(
        {
          model: await openModelFiles(source),
          plan: parsePlan(await readFile(out, 'utf8'), out),
          out: join(folder, name),
          ...target,
        },
        unattended,
      );
      expect(result.bytesAfter).toBeLessThanOrEqual(0.6 * made.costBefore);
      expect(Math.abs(result.bytesAfter - made.cost)).toBeLessThan(64);
    },
  );
});

describe('types of stacked experts', () => {
  const mixture = familyFixture('qwen2_moe');
  const known = join(folder, 'experts.sensitivity.json');
  let measured: SensitivityProfile;
  beforeAll(async () => {
    const methods = ['gguf:Q8_0:plain', 'gguf:Q4_0:plain'];
    const request = { ...measuring, methods, model: mixture, out: known };
    await sensitivity.run(buildRequest(sensitivity, request), context);
    measured = parseSensitivityProfile(await readFile(known, 'utf8'), known);
  });

  it('are measured for all experts of a block together, and for shared experts alone', async () => {
    const { summary } = await openModelFiles(mixture);
    const [{ experts } = { experts: undefined }] = summary.sublayers.filter(
      (one) => one.id === 'block.1.expert',
    );
    const stacks = measured.layers.filter(({ tensor }) => tensor.startsWith('block.1.expert.'));
    expect(stacks.map(({ tensor, role, expert }) => [tensor, role, expert])).toEqual(
      ['gate', 'up', 'down'].map((role) => [`block.1.expert.${role}`, role, undefined]),
    );
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    expect(sum(stacks.map(({ parameters }) => parameters))).toBe(
      (experts?.count ?? 0) * ((experts?.parameters ?? 0) - (summary.hiddenSize ?? 0)),
    );
    expect(measured.gguf?.tensors['block.1.expert.down']).toEqual({
      'blk.1.ffn_down_exps.weight': stacks.find(({ role }) => role === 'down')?.bytes,
    });
    const shared = 'model.layers.1.mlp.shared_expert.down_proj.weight';
    expect(measured.gguf?.tensors[shared]).toHaveProperty('blk.1.ffn_down_shexp.weight');
  });

  it.each(['gate', 'up'])('change the model as the written file does: %s', async (part) => {
    const layer = measured.layers.find(({ tensor }) => tensor === `block.1.expert.${part}`);
    const entry = layer?.entries.find(({ type }) => type === 'Q4_0');
    const file = await write(
      { [`blk.1.ffn_${part}_exps.weight`]: 'Q4_0' },
      `experts-${part}`,
      mixture,
    );
    const tensor = (await readGgufHeader(file)).tensors.find((one) => one.dtype === 'Q4_0');
    expect(tensor).toMatchObject({ length: entry?.bytes });
    const distance = await measureDistance(file, mixture, calibration, 0);
    expect((entry?.distance ?? 0) / distance).toBeCloseTo(1, 2);
  });

  it('are planned, and the plan is measured as the written file is', async () => {
    const out = join(folder, 'experts.plan.json');
    const request = { model: mixture, sensitivity: known, out, budget: 0.65, rounds: 1 };
    const made = await planCompression.run(buildRequest(planCompression, request), context);
    const plan = parsePlan(await readFile(out, 'utf8'), out);
    expect(Object.keys(plan.types ?? {}).filter((name) => name.includes('_exps'))).not.toEqual([]);
    const result = await applyPlan(
      {
        ...{ model: await openModelFiles(mixture), plan, out: join(folder, 'experts') },
        ...{ format: 'gguf', overwrite: false, ...run },
      },
      unattended,
    );
    // Tensors are aligned.
    expect(result.bytesAfter - made.cost).toBeLessThan(32 * measured.layers.length);
    const distance = await measureDistance(resultFile(result), mixture, calibration, 0);
    expect(made.distance / distance).toBeCloseTo(1, 2);
  });
});

describe('plans of types', () => {
  const toBytes = (ratio: number): Budget => ({ limits: [{ unit: 'bytes', ratio }], context: 0 });
  const asCalibrated = <Matrix extends MatrixSensitivity>(matrix: Matrix): Matrix =>
    JSON.parse(
      JSON.stringify(matrix, (key, value: unknown) => (key === 'variant' ? undefined : value)),
    ) as Matrix;

  it('are marked as importance-weighted for layers, never for embedding and head', async () => {
    const { layers, embeddingAndHead = [] } = table;
    const byImportance = { ...table, layers: layers.map(asCalibrated) };
    const headAlone = {
      ...table,
      layers: layers.map((layer) => ({ ...layer, entries: [] })),
      embeddingAndHead: embeddingAndHead.map(asCalibrated),
    };
    const plans = await Promise.all(
      [[byImportance, 0.6] as const, [table, 0.6] as const, [headAlone, 0.99] as const].map(
        async ([one, ratio]) => planUnderBudget(one, toBytes(ratio)),
      ),
    );
    expect(plans.map((plan) => plannedChanges(plan).byImportance)).toEqual([
      true,
      undefined,
      undefined,
    ]);
    expect(plans[2]?.compress).not.toEqual([]);
    expect(plans.map((plan) => planNote(plan, [], 'kl').includes('apply with --imatrix'))).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('are applied with a warning if the importance matrix is missing', async () => {
    const { fingerprint } = table.model;
    const changes = { types: { 'output.weight': 'F16' }, byImportance: true } as const;
    const warnings: string[] = [];
    await applyPlan(
      {
        model: await openModelFiles(model),
        plan: planFor({ path: model, fingerprint }, changes),
        out: join(folder, 'warned'),
        ...{ format: 'gguf', overwrite: false, ...run },
      },
      { ...unattended, warn: (message) => warnings.push(inEnglish(message)) },
    );
    expect(warnings.join()).toMatch(/no importance matrix.*--imatrix/);
  });
});

describe('a plan of types', () => {
  it('is written by compress, rounded by an importance matrix that is named', async () => {
    const types = { 'blk.0.ffn_down.weight': 'Q4_0' } as const;
    const plan = planFor({ path: model }, { types });
    const imatrixFile = join(folder, 'model.imatrix.gguf');
    const { device, calibration: random, sequences, length } = measuring;
    const measured = { model, device, calibration: random, sequences, length };
    await imatrix.run(buildRequest(imatrix, { ...measured, out: imatrixFile }), context);
    const written = async (name: string, more: object): Promise<Buffer> => {
      const given = {
        model,
        plan,
        device,
        out: join(folder, name),
        format: 'gguf' as const,
        quality: false,
      };
      const { path, files } = await compress.run(
        buildRequest(compress, { ...given, ...more }),
        context,
      );
      return readFile(join(path, files.find((file) => file.name.endsWith('.gguf'))?.name ?? ''));
    };
    const plain = await written('alike', {});
    const weighted = await written('weighted', { imatrix: imatrixFile });
    expect(weighted.length).toBe(plain.length);
    expect(weighted.equals(plain)).toBe(false);
    expect(() =>
      buildRequest(compress, { model, method: 'int8', out: 'x', imatrix: imatrixFile }),
    ).toFailWith({ code: 'flag-needs-other', field: 'imatrix' });
    // In addition to types of the plan, those of a mix.
    expect((await written('mixed', { type: 'Q8_0' })).length).toBeLessThan(plain.length);
    const apply = async (changes: object, more: object): Promise<unknown> => {
      const given = { plan: planFor({ path: model }, changes), device, out: join(folder, 'no') };
      return compress.run(buildRequest(compress, { ...given, ...more }), context);
    };
    await expect(apply({ types }, {})).rejects.toFailWith({
      code: 'types-not-in-format',
      field: 'types',
    });
    const weighed = { imatrix: imatrixFile, format: 'gguf' };
    await expect(apply({ types: {} }, weighed)).rejects.toFailWith({
      code: 'flag-without-effect',
      field: 'imatrix',
    });
    const tensor = 'model.layers.0.mlp.down_proj.weight';
    const choices = [{ tensor, method: 'int8', setting: 32, variant: 'plain' }];
    await expect(apply({ compress: choices }, weighed)).rejects.toFailWith({
      code: 'plan-mixes-types',
      field: 'imatrix',
    });
  });

  it('is not evaluated as if it changed nothing', async () => {
    const plan = planFor({ path: model }, { types: { 'output.weight': 'F16' } });
    await expect(evaluate.run(buildRequest(evaluate, { plan }), context)).rejects.toFailWith({
      code: 'plan-not-applied',
      field: 'types',
    });
  });
});

describe('types are refused', () => {
  it('with other encodings, before anything is measured', async () => {
    const request = { ...measuring, model, budget: 0.5, methods: ['gguf', 'int4'] };
    await expect(
      planCompression.run(buildRequest(planCompression, request), context),
    ).rejects.toFailWith({ code: 'methods-conflict', field: 'methods' });
  });

  it('by compress, which chooses no GGUF types', async () => {
    const out = join(folder, 'no');
    for (const how of [
      { budget: 0.5, methods: ['gguf'] },
      { budget: 0.5, sensitivity: profile },
      { method: 'gguf:Q4_K' },
    ]) {
      await expect(
        compress.run(buildRequest(compress, { model, out, ...how }), context),
      ).rejects.toFailWith({ code: 'types-not-chosen', field: expect.any(String) });
    }
  });

  it('of graphs', async () => {
    const measure = async (path: string): Promise<unknown> =>
      sensitivity.run(buildRequest(sensitivity, { ...measuring, model: path }), context);
    await expect(measure(onnxFixture('llama-legacy'))).rejects.toFailWith({
      code: 'format-not-reachable',
      file: 'model.onnx',
      field: 'format',
    });
    const offered = async (path: string): Promise<boolean> =>
      canTypeLayers(await openModelFiles(path));
    expect(await offered(model)).toBe(true);
    expect(await offered(onnxFixture('llama-legacy'))).toBe(false);
    expect(await offered(familyFixture('qwen2_moe'))).toBe(true);
  });
});
