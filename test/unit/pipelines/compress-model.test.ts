import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import { workFolder } from '../../../extension/core/jobs/work-folder';
import type { CompressRequest } from '../../../extension/core/pipelines/compression/compress-model';
import {
  chooseForAll,
  listLayers,
} from '../../../extension/core/pipelines/compression/layer-choices';
import { spreadRanks } from '../../../extension/core/pipelines/compression/spread-ranks';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import type { ErrorCode } from '../../../extension/core/error-codes';
import { OnnxLayeredModel } from '../../../extension/core/models/onnx/onnx-layered-model';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { parseCompression } from '../../../extension/core/tensornet/compression-choice';
import type { CompressionChoice } from '../../../extension/core/tensornet/compression-choice';
import { encoderFixture } from '../encoder-fixtures';
import type { Failure } from '../fail-with';
import { fixture, readJson, relativeError } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { quantizedFixture, quantizedCases } from '../quantized-fixtures';
import { machine } from '../tensornet/machines';
import { patchMaker } from '../some-patch';
import { temporaryFolder } from '../temporary-folder';
import { hashes, computeLogits, readConfig, RecordedContext } from '../export/pruning';
import { inEnglish } from '../../../extension/core/message';

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `${count++}`);

const text = join(import.meta.dirname, '../../../samples/calibration.txt');
const source = fixture('llama-gqa-untied');
const { inputIds } = readJson<{ inputIds: number[][] }>('llama-gqa-untied', 'golden.json');

async function choicesFor(path: string, method: string): Promise<CompressionChoice[]> {
  return chooseForAll(await openModel(path), parseCompression(method), {}).choices;
}

/** Changes of a request, with the path of its model. */
type Changes = Partial<Omit<CompressRequest, 'model'>> & { readonly modelPath?: string };

async function request(
  method: string,
  { modelPath = source, ...more }: Changes = {},
): Promise<CompressRequest> {
  return {
    model: await openModelFiles(modelPath),
    choices: await choicesFor(modelPath, method),
    out: fresh(),
    overwrite: false,
    device: 'cpu',
    memoryBytes: 1 << 28,
    ...more,
  };
}

const calibration = { request: { sequences: 2, length: 16 }, bundledText: text };

const outside = ['embedding', 'head'] as const;

describe('compressing with patches and removals', () => {
  /** Linear layers of the three sublayers after the first. */
  const behindFirst = async (): Promise<CompressionChoice[]> =>
    (await choicesFor(source, 'lowrank:50%:covariance')).filter(({ tensor }) =>
      /layers\.0\.mlp|layers\.1\./.test(tensor),
    );

  it('calibrates on the layers that replace them', async () => {
    const { hiddenSize = 0 } = (await openModel(source)).summary;
    const patch = await patchMaker(root)(hiddenSize, 4);
    const removedAttention = 'block.0.attention';
    const choices = await behindFirst();
    const errors = async (more: Changes): Promise<(number | undefined)[]> => {
      const settled = await request('int8', { choices, calibration, ...more });
      return (await compressModel(settled, unattended)).layers.map(({ error }) => error);
    };
    const removed = await errors({ removed: [removedAttention] });
    const patched = await errors({ patches: new Map([[removedAttention, patch]]) });
    expect(patched).not.toEqual(removed);
    expect(patched).not.toEqual(await errors({}));
    // Listing the patched sublayer among the removed ones makes no difference.
    expect(
      await errors({ removed: [removedAttention], patches: new Map([[removedAttention, patch]]) }),
    ).toEqual(patched);
  });

  it('does not reuse encodings that were calibrated with other sublayers', async () => {
    const choices = await behindFirst();
    const whole = await request('int8', { choices, calibration });
    const stopping: JobContext = {
      ...unattended,
      progress: ({ done, total }) => {
        if (total > 0 && done > total / 2) throw new CancelledError();
      },
    };
    await expect(compressModel(whole, stopping)).rejects.toThrow(CancelledError);
    expect(existsSync(workFolder(whole.out, 'compress'))).toBe(true);
    const other = { ...whole, removed: ['block.0.attention'] };
    const removedAttention = await compressModel(other, unattended);
    const anew = await compressModel(
      await request('int8', { choices, calibration, removed: other.removed }),
      unattended,
    );
    expect(removedAttention.layers).toEqual(anew.layers);
  });
});

it('quantizes skipped layers with `then`', async () => {
  const model = await openModel(source);
  const { choices } = chooseForAll(model, parseCompression('int8:0+int8'), { skip: ['down'] });
  const roles = new Map(listLayers(model).map(({ id, role }) => [id, role]));
  expect(choices).toHaveLength(roles.size);
  for (const { tensor, ...choice } of choices) {
    const setting = roles.get(tensor) === 'down' ? 32 : 0;
    expect(choice).toEqual({ method: 'int8', setting });
  }
});

describe('compressing embedding and head', () => {
  const tied = fixture('llama-tied-f16');

  it('rounds them without calibration, regardless of the calibration of the layers between', async () => {
    const model = await openModel(source);
    const { choices } = chooseForAll(model, parseCompression('int4:16:gptq'), {
      embeddingAndHead: outside,
    });
    const result = await compressModel(await request('int8', { choices, calibration }), unattended);
    const variants = result.layers.map(({ variant }) => variant);
    expect(variants.slice(-2)).toEqual(['clip', 'clip']);
    expect(new Set(variants.slice(0, -2))).toEqual(new Set(['gptq']));
    // Layers are calibrated on what the rounded embedding gives.
    const alone = await compressModel(await request('int4:16:gptq', { calibration }), unattended);
    expect(result.layers[0]?.error).not.toBe(alone.layers[0]?.error);
  });

  it.each(['int8', 'lowrank:50%+int4', 'int4:16:rtn-asymmetric'])(
    'with %s uses one encoding for tied matrices',
    async (method) => {
      const model = await openModel(tied);
      const { choices } = chooseForAll(model, parseCompression(method), {
        embeddingAndHead: outside,
      });
      const context = new RecordedContext();
      const given = await request('int8', { modelPath: tied, choices });
      const result = await compressModel(given, context);
      expect(context.warnings).toEqual([]);
      const [embedding, head] = result.layers.slice(-2);
      expect(embedding).toMatchObject({ tensor: 'model.embed_tokens.weight' });
      expect(embedding?.error).toBeGreaterThan(0);
      expect(embedding?.error).toBeLessThan(method === 'int8' ? 0.01 : 0.2);
      expect(head).toEqual({
        ...embedding,
        tensor: 'lm_head.weight',
        tiedTo: embedding?.tensor,
        parameters: 0,
        bytes: 0,
      });
      const { summary } = await openModel(result.path);
      expect(summary).toMatchObject({ tiedHead: true, parameters: result.parametersAfter });
      const dense = [...listLayers(model), ...model.embeddingAndHeadMatrices.slice(0, 1)];
      const before = dense.reduce((sum, { weight }) => sum + weight.length, 0);
      const after = result.layers.reduce((sum, { bytes }) => sum + bytes, 0);
      expect(summary.bytes).toBe(model.summary.bytes - before + after);
    },
  );

  it('unties a matrix if only one use is compressed, and says so', async () => {
    const { summary } = await openModel(tied);
    const choices = [{ tensor: 'lm_head.weight', method: 'int8', setting: 0 }] as const;
    for (const layout of ['auto-map', 'dense'] as const) {
      const context = new RecordedContext();
      const given = await request('int8', { modelPath: tied, choices, layout });
      const result = await compressModel(given, context);
      expect(context.warnings).toEqual([expect.stringMatching(/both are stored/)]);
      const written = (await openModel(result.path)).summary;
      expect(written).toMatchObject({ tiedHead: false, parameters: result.parametersAfter });
      expect(written.bytes).toBe(summary.bytes + (result.layers[0]?.bytes ?? 0));
      expect(readConfig(result.path)).toMatchObject({ tie_word_embeddings: false });
    }
  });

  it('resumes after a stop', async () => {
    const choices = [
      ...(await choicesFor(source, 'int8')).slice(0, 2),
      ...['model.embed_tokens.weight', 'lm_head.weight'].map((tensor): CompressionChoice => ({
        tensor,
        method: 'int4',
        setting: 16,
      })),
    ];
    const given = await request('int8', { choices });
    const stopped = new RecordedContext(({ done }) => {
      stopped.cancellation.isCancellationRequested = done === 2;
    });
    await expect(compressModel(given, stopped)).rejects.toThrow(CancelledError);
    const context = new RecordedContext();
    const result = await compressModel(given, context);
    expect(result.layers.map(({ tensor }) => tensor)).toEqual(choices.map(({ tensor }) => tensor));
    const worked = context.stages.filter(({ stage }) => stage.startsWith('Compressing m'));
    // The one that was being compressed has been finished.
    expect(worked).toHaveLength(choices.length - 3);
  });

  it.each<[string, Partial<CompressionChoice>, ErrorCode]>([
    ['a low rank', { method: 'lowrank', setting: 4 }, 'embedding-not-compressible'],
    ['calibration', { method: 'int4', setting: 16, variant: 'gptq' }, 'variant-not-for-embedding'],
  ])('is refused with %s', async (_, choice, code) => {
    const choices = [{ tensor: 'lm_head.weight', method: 'int8', setting: 0, ...choice } as const];
    const given = await request('int8', { choices, calibration });
    await expect(compressModel(given, unattended)).rejects.toFailWith({
      ...{ code, file: 'model.safetensors', field: 'lm_head.weight' },
    });
  });

  it('is refused if the method does not support them, or there are none', async () => {
    const choosing = async (path: string, method: string, place: 'embedding' | 'head') => {
      const model = await openModel(path);
      return (): unknown =>
        chooseForAll(model, parseCompression(method), { embeddingAndHead: [place] });
    };
    expect(await choosing(source, 'mpo:30%', 'head')).toFailWith({
      ...{ code: 'embedding-not-compressible', file: source, field: 'head' },
      remedy: /--then int4/,
    });
    expect(await choosing(encoderFixture('bert-plain'), 'int8', 'head')).toFailWith({
      ...{ code: 'embedding-missing', file: 'bert-plain', field: 'head' },
    });
  });
});

describe('compressing a model', () => {
  it.each([
    'lowrank:50%',
    'lowrank:60%:covariance+int4',
    'mpo:50%',
    'int8',
    'int4:16',
    'int4:16:gptq',
  ])('by %s writes one that opens with fewer bytes', async (method) => {
    const before = hashes(source);
    const given = await request(method, { calibration });
    const result = await compressModel(given, unattended);
    expect(result.layers.map(({ tensor }) => tensor)).toEqual(
      given.choices.map(({ tensor }) => tensor),
    );
    const { summary } = await openModel(result.path);
    expect(summary.parameters).toBe(result.parametersAfter);
    const saved = result.layers.reduce((sum, { bytes }) => sum + bytes, 0);
    const layers = listLayers(await openModel(source));
    const dense = layers.reduce((sum, { weight }) => sum + weight.length, 0);
    expect(summary.bytes).toBe((await openModel(source)).summary.bytes - dense + saved);
    expect(saved).toBeLessThan(dense);
    for (const { error } of result.layers) {
      expect(error).toBeGreaterThan(0);
      expect(error).toBeLessThan(1);
    }
    expect(hashes(source)).toEqual(before);
    expect(existsSync(workFolder(given.out, 'compress'))).toBe(false);
  });

  it('as dense matrices computes the same as the forms do', async () => {
    const forms = await compressModel(await request('mpo:40%'), unattended);
    const dense = await compressModel(await request('mpo:40%', { layout: 'dense' }), unattended);
    expect(readConfig(dense.path)).toEqual(readConfig(source));
    expect(dense.bytesAfter).toBe(dense.bytesBefore);
    expect(inEnglish(dense.loadsWith)).toMatch(/no bytes and no time/);
    expect(
      relativeError(
        await computeLogits(dense.path, inputIds),
        await computeLogits(forms.path, inputIds),
      ),
    ).toBeLessThan(1e-5);
  });

  it('runs matrix product operators in the faster way on this machine', async () => {
    for (const [slower, run] of [
      [0.01, 'chained'],
      [100, 'contracted'],
    ] as const) {
      const folder = fresh();
      mkdirSync(folder);
      writeFileSync(join(folder, 'cpu.json'), JSON.stringify(machine(slower)));
      const costs = { folder, rows: 4 };
      const result = await compressModel(await request('mpo:40%', { costs }), unattended);
      for (const { mpoRun } of result.layers) {
        expect(mpoRun).toMatchObject({ run, rows: 4 });
        expect(mpoRun?.milliseconds[run]).toBe(
          Math.min(...Object.values(mpoRun?.milliseconds ?? {})),
        );
      }
      const forms = listLayers(await openModel(result.path)).map(({ encoding }) => encoding);
      expect(forms.length).toBe(result.layers.length);
      expect(forms.every((form) => form?.kind === 'mpo' && form.run === run)).toBe(true);
      const reported = await request('mpo:40%', { costs, mpoRun: 'contracted' });
      const [first] = (await compressModel(reported, unattended)).layers;
      expect(first?.mpoRun).toBeUndefined();
    }
  });

  it('distributes ranks over layers, with the same total number of weights', async () => {
    const model = await openModel(source);
    const given = await request('lowrank:50%');
    const [first, ...others] = given.choices;
    if (first === undefined) {
      throw new Error('nothing was chosen');
    }
    const choices = [{ tensor: first.tensor, method: 'int8' as const, setting: 0 }, ...others];
    const settings = { calibration, device: 'cpu', memoryBytes: 1 << 28 } as const;
    const spread = await spreadRanks(model, choices, settings, unattended);
    expect(spread[0]).toEqual(choices[0]);
    expect(spread.map(({ tensor }) => tensor)).toEqual(choices.map(({ tensor }) => tensor));
    expect(spread).not.toEqual(choices);
    const equal = await compressModel(await request('int8', { choices }), unattended);
    const result = await compressModel(await request('int8', { choices: spread }), unattended);
    expect(result.parametersAfter).toBeLessThanOrEqual(equal.parametersAfter);
    expect(result.parametersAfter).toBeGreaterThan(0.97 * equal.parametersAfter);
  });

  it('removes sublayers too', async () => {
    const removed = ['block.1.attention', 'block.2.attention', 'block.2.feedforward'];
    const model = await openModel(source);
    const staying = new Set(listLayers(model, removed).map(({ id }) => id));
    const choices = (await choicesFor(source, 'lowrank:50%')).filter(({ tensor }) =>
      staying.has(tensor),
    );
    const result = await compressModel(await request('int8', { choices, removed }), unattended);
    const { summary } = await openModel(result.path);
    expect(summary.absent).toEqual(['block.1.attention']);
    expect(Object.keys(summary.compressed ?? {})).toHaveLength(5);
    expect(summary.parameters).toBe(result.parametersAfter);
    await expect(compressModel(await request('int8', { removed }), unattended)).rejects.toFailWith({
      code: 'layer-of-removed-sublayer',
      file: source,
      field: expect.stringMatching(/^compress\[\d+\]\.tensor$/),
    });
  });

  it('continues after the last saved layer when it was stopped', async () => {
    const given = await request('lowrank:50%:covariance', { calibration });
    const whole = await compressModel({ ...given, out: fresh() }, unattended);
    const stopped: JobContext & { cancellation: { isCancellationRequested: boolean } } =
      new RecordedContext(({ stage, done }) => {
        stopped.cancellation.isCancellationRequested = stage.startsWith('Compressing') && done >= 9;
      });
    await expect(compressModel(given, stopped)).rejects.toThrow(CancelledError);
    expect(existsSync(given.out)).toBe(false);
    const left = readdirSync(workFolder(given.out, 'compress')).filter((name) => /\d/.test(name));
    // The step that was begun is finished.
    expect(left).toHaveLength(10);
    const context = new RecordedContext();
    const result = await compressModel(given, context);
    const first = context.stages.find(({ stage }) => stage.startsWith('Compressing'));
    expect(first?.done).toBe(10);
    expect(result.layers).toEqual(whole.layers);
    const weights = (path: string): Buffer => readFileSync(join(path, 'model.safetensors'));
    expect(weights(result.path).equals(weights(whole.path))).toBe(true);
  });

  it('restarts if the journal is from another job', async () => {
    const given = await request('int8');
    const stopped: RecordedContext = new RecordedContext(({ stage, done }) => {
      stopped.cancellation.isCancellationRequested = stage.startsWith('Compressing') && done >= 3;
    });
    await expect(compressModel(given, stopped)).rejects.toThrow(CancelledError);
    const context = new RecordedContext();
    const choices = await choicesFor(source, 'int4:16');
    const result = await compressModel({ ...given, choices }, context);
    expect(context.stages[0]?.done).toBe(0);
    expect(new Set(result.layers.map(({ method }) => method))).toEqual(new Set(['int4']));
  });

  it.each<[string, Changes, ErrorCode, string?]>([
    ['a GGUF file', { modelPath: ggufFixture('llama.gguf') }, 'keeps-own-packing'],
    [
      'a file format that the source cannot take',
      { format: 'gguf' },
      'keeps-own-packing',
      'gguf blocks',
    ],
    [
      'blocks, which hold dense matrices alone',
      { layout: 'blocks' },
      'matrices-not-expressible',
      'safetensors blocks',
    ],
    [
      'experts of one tensor',
      { modelPath: fixture('mixtral-fused'), layout: 'dense' },
      'matrices-not-expressible',
      'safetensors dense',
    ],
    [
      'what GPTQ has quantized',
      { modelPath: quantizedFixture(quantizedCases[0]) },
      'keeps-own-packing',
      'safetensors auto-map',
    ],
    [
      'experts in transformers',
      { modelPath: fixture('mixtral') },
      'experts-not-expressible',
      'safetensors auto-map',
    ],
    [
      'transposed matrices like dense ones',
      { modelPath: fixture('gpt2'), layout: 'dense' },
      'matrices-not-expressible',
      'safetensors dense',
    ],
  ])('refuses %s before any work', async (_, more, code, field) => {
    const given = await request('int4:16', more);
    const context = new RecordedContext();
    await expect(compressModel(given, context)).rejects.toFailWith({
      ...{ code, file: more.modelPath ?? source, field },
    });
    expect(context.stages).toEqual([]);
    expect(readdirSync(dirname(given.out))).not.toContain(workFolder(given.out, 'compress'));
  });

  const upProjection = { file: 'model.safetensors', field: 'model.layers.0.mlp.up_proj.weight' };

  it.each<[string, CompressionChoice, Failure]>([
    [
      'a layer that there is not',
      { tensor: 'model.layers.9.mlp.up_proj.weight', method: 'int8', setting: 0 },
      { code: 'linear-layer-unknown', file: source, field: 'compress[0].tensor' },
    ],
    [
      'a setting that the method does not have',
      { tensor: 'model.layers.0.mlp.up_proj.weight', method: 'int4', setting: 24 },
      { ...upProjection, code: 'compression-setting-invalid' },
    ],
    [
      'a variant without its calibration',
      {
        tensor: 'model.layers.0.mlp.up_proj.weight',
        method: 'lowrank',
        setting: 8,
        variant: 'covariance',
      },
      { ...upProjection, code: 'calibration-missing' },
    ],
  ])('refuses %s', async (_, choice, failure) => {
    const given = await request('int8', { choices: [choice] });
    await expect(compressModel(given, unattended)).rejects.toFailWith(failure);
  });

  it.each(['gpt2-merged', 'llama-dynamo', 'bert-legacy'])(
    'of the graph %s writes a graph that Espalier opens again',
    async (name) => {
      const modelPath = onnxFixture(name);
      const result = await compressModel(await request('lowrank:50%', { modelPath }), unattended);
      const before = (await openModel(modelPath)).summary;
      const after = await openModel(join(result.path, 'model.onnx'));
      expect(after).toBeInstanceOf(OnnxLayeredModel);
      expect(after.summary.sublayers.map(({ id }) => id)).toEqual(
        before.sublayers.map(({ id }) => id),
      );
      expect(result.parametersAfter).toBe(after.summary.parameters);
      expect(result.parametersAfter).toBeLessThan(result.parametersBefore);
    },
  );
});
