import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { readBytes } from '../../../extension/core/checkpoints/read-tensor';
import { loadModelInputs } from '../../../extension/core/data/model-inputs';
import type { GgufTypes } from '../../../extension/core/export/gguf/choose-types';
import { inputSums } from '../../../extension/core/export/gguf/input-sums';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { workFolder } from '../../../extension/core/jobs/work-folder';
import { inEnglish } from '../../../extension/core/message';
import type { WritableType } from '../../../extension/core/checkpoints/ggml-types';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { writeModel } from '../../../extension/core/pipelines/write-model';
import type { WriteRequest } from '../../../extension/core/pipelines/write-model';
import { idsIn } from '../../../extension/core/models/model-input';
import { defaultDistillation } from '../../../extension/core/tensornet/repair/repair-settings';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { makeRandomModel, randomModelVocabulary } from '../random-model';
import { runCli } from '../cli/run-cli';
import { writeFirstBlocks } from '../first-blocks';
import { familyFixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { prune } from '../export/pruning';

const samples = join(import.meta.dirname, '../../../samples');
const sampleText = (name: string): string => join(samples, name);
const root = temporaryFolder();
const sample = await writeFirstBlocks(join(samples, 'espalier-sample'), 4, temporaryFolder());
const limits = { device: 'cpu', memoryBytes: 1 << 30 } as const;
const request = { sequences: 8, length: 128 };
const feedback = { request, bundledText: sampleText('calibration.txt') };

const ggufIn = (folder: string): string =>
  join(folder, readdirSync(folder).find((name) => name.endsWith('.gguf')) ?? '');

async function write(
  path: string,
  name: string,
  more: Partial<WriteRequest> & { readonly types?: GgufTypes },
): Promise<string> {
  const model = await openModelFiles(path);
  const out = join(root, name);
  await writeModel(
    { model, removed: [], out, format: 'gguf', overwrite: false, ...limits, ...more },
    unattended,
  );
  // Nothing else is left of the work.
  expect(readdirSync(out).filter((one) => !one.endsWith('.gguf'))).toEqual(['espalier.json']);
  expect(readdirSync(root).filter((one) => one.startsWith('.'))).toEqual([]);
  return ggufIn(out);
}

/** Types and bytes of the tensors of a file. */
async function tensorsIn(file: string): Promise<Map<string, string>> {
  const { tensors } = await readGgufHeader(file);
  const found = tensors.map(async (tensor): Promise<[string, string]> => {
    const bytes = await readBytes(tensor, tensor.length);
    return [tensor.name, `${tensor.dtype} ${bytes.toString('base64')}`];
  });
  return new Map(await Promise.all(found));
}

const typesIn = async (file: string): Promise<string[]> =>
  [...(await tensorsIn(file))].map(([name, bytes]) => `${name} ${bytes.split(' ')[0] ?? ''}`);

async function logits(path: string, ids: Int32Array): Promise<Float32Array> {
  const [found] = await textLogits(path, [ids]);
  return found ?? expect.fail();
}

async function textLogits(path: string, texts: readonly Int32Array[]): Promise<Float32Array[]> {
  const executor = new LayeredExecutor(await openModel(path), limits.device, limits.memoryBytes);
  const found: Float32Array[] = [];
  try {
    for (const ids of texts) {
      let state = await executor.embed(ids);
      for (const index of executor.model.summary.sublayers.keys()) {
        [state = state] = await executor.run(index, [state]);
      }
      found.push((await executor.logits(state)).slice());
    }
    return found;
  } finally {
    await executor.dispose();
  }
}

async function readTestIds(): Promise<Int32Array> {
  const { model } = await openModelFiles(sample);
  const part = { sequences: 1, length: 256 };
  const { inputs } = await loadModelInputs(part, model, sampleText('held-out.txt'), 0);
  const [ids] = inputs;
  if (!(ids instanceof Int32Array)) {
    throw new Error('a text has ids');
  }
  return ids;
}

/** Mean KL divergence of the next token from one model's logits to another's, in nats. */
function divergence(original: Float32Array, other: Float32Array, vocabulary: number): number {
  const logProbabilities = (row: Float32Array): Float32Array => {
    const logSum = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
    return row.map((logit) => logit - logSum);
  };
  let sum = 0;
  for (let at = 0; at < original.length; at += vocabulary) {
    const [p, q] = [original, other].map((all) =>
      logProbabilities(all.subarray(at, at + vocabulary)),
    ) as [Float32Array, Float32Array];
    p.forEach((x, i) => {
      sum += Math.exp(x) * (x - (q[i] ?? 0));
    });
  }
  return (sum * vocabulary) / original.length;
}

/** Mean KL divergence from a random model to another file of it. */
async function meanDivergence(
  original: string,
  other: string,
  texts: readonly Int32Array[],
): Promise<number> {
  const [before, after] = [await textLogits(original, texts), await textLogits(other, texts)];
  return before.reduce(
    (sum, row, i) =>
      sum + divergence(row, after[i] ?? expect.fail(), randomModelVocabulary) / before.length,
    0,
  );
}

const squaresBetween = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, x, i) => sum + (x - (b[i] ?? 0)) ** 2, 0);

const short = { ...feedback, request: { sequences: 2, length: 32 } };

/** Context of a job that is canceled when it rounds a tensor of this name, and the stages of rounding until then. */
function stopsAt(name: string): {
  readonly context: JobContext;
  readonly rounded: readonly string[];
} {
  const cancellation = { isCancellationRequested: false };
  const rounded: string[] = [];
  const progress: JobContext['progress'] = ({ stage }) => {
    const text = inEnglish(stage);
    if (text.startsWith('Rounding')) {
      rounded.push(text);
    }
    cancellation.isCancellationRequested ||= text.includes(name);
  };
  return { context: { ...unattended, cancellation, progress }, rounded };
}

async function start(out: string, types: GgufTypes, context: JobContext): Promise<void> {
  const model = await openModelFiles(sample);
  await writeModel(
    {
      ...{ model, removed: [], out, format: 'gguf', overwrite: false },
      ...{ ...limits, types, feedback: short },
    },
    context,
  );
}

/** A type for the tensors of some blocks; error feedback for all of them takes long. */
const someIn = (type: WritableType, blocks: readonly number[]): GgufTypes => ({
  mix: 'F32',
  tensors: Object.fromEntries(
    blocks.flatMap((block) =>
      ['attn_q', 'attn_output', 'ffn_up', 'ffn_down'].map((name) => [
        `blk.${block}.${name}.weight`,
        type,
      ]),
    ),
  ),
});

describe('rounding by error feedback', () => {
  it('brings a model closer to its original than importance does, at the same size', async () => {
    const opened = await openModelFiles(sample);
    const { inputs } = await loadModelInputs(request, opened.model, feedback.bundledText, 0);
    const sums = await inputSums(opened, inputs, limits, unattended);
    const importance = new Map(
      [...sums].map(([name, { sums: squares, counts }]) => [
        name,
        squares.map((sum) => sum / (counts[0] ?? 1)),
      ]),
    );
    const types = { mix: 'Q4_0', importance } as const;
    const weighted = await write(sample, 'weighted', { types });
    const corrected = await write(sample, 'corrected', { types, feedback });
    expect(await typesIn(corrected)).toEqual(await typesIn(weighted));
    const ids = await readTestIds();
    const original = await logits(sample, ids);
    const [before, after] = [await logits(weighted, ids), await logits(corrected, ids)];
    expect(squaresBetween(original, after)).toBeLessThan(0.9 * squaresBetween(original, before));
  });

  it('rounds the head by the rows that it reads', async () => {
    const types = { mix: 'F32', tensors: { 'token_embd.weight': 'Q4_0' } } as const;
    const ids = await readTestIds();
    const nearest = await logits(await write(sample, 'head-nearest', { types }), ids);
    const corrected = await logits(await write(sample, 'head-corrected', { types, feedback }), ids);
    const original = await logits(sample, ids);
    expect(squaresBetween(original, corrected)).toBeLessThan(
      0.8 * squaresBetween(original, nearest),
    );
  });

  it('rounds an embedding that is not the head by its effect on the logits', async () => {
    const folder = await makeRandomModel({ seed: 5, blocks: 2, hidden: 64, headSpread: 1 });
    const random = { file: 'random', sequences: 24, length: 16 };
    const types = { mix: 'F32', tensors: { 'token_embd.weight': 'Q4_0' } } as const;
    const own = { types, feedback: { request: random, bundledText: '' } };
    const corrected = await write(folder, 'embedding-corrected', own);
    const nearest = await write(folder, 'embedding-nearest', { types });
    expect(await typesIn(corrected)).toEqual(await typesIn(nearest));
    const { model } = await openModelFiles(folder);
    const { inputs } = await loadModelInputs({ ...random, sequences: 40 }, model, '', 1);
    const ids = inputs.map((input) => idsIn(input) ?? expect.fail());
    const [after, before] = [
      await meanDivergence(folder, corrected, ids),
      await meanDivergence(folder, nearest, ids),
    ];
    expect(after).toBeLessThan(0.9 * before);
    const little = { ...own, memoryBytes: 1 << 16 };
    // Without the memory for a backward pass, the embedding is rounded as without calibration.
    expect(await tensorsIn(await write(folder, 'embedding-short', little))).toEqual(
      await tensorsIn(nearest),
    );
  });

  it('resumes after the last sublayer, with the same bytes', async () => {
    const types = someIn('Q5_0', [0, 1, 3]);
    const whole = await write(sample, 'uninterrupted', { types, feedback: short });
    const out = join(root, 'resumed');
    const stopped = stopsAt('blk.1.ffn_up');
    await expect(start(out, types, stopped.context)).rejects.toBeInstanceOf(CancelledError);
    expect(stopped.rounded).toContain('Rounding blk.1.attn_q.weight');
    const work = workFolder(out, 'round');
    expect(readdirSync(work).sort()).toEqual(['journal.jsonl', 'rounded']);
    const resumed = stopsAt('nothing');
    await start(out, types, resumed.context);
    expect(resumed.rounded[0]).toBe('Rounding blk.1.ffn_up.weight');
    expect(await tensorsIn(ggufIn(out))).toEqual(await tensorsIn(whole));
    expect(existsSync(work)).toBe(false);
  });

  it('trains blocks after that, and resumes within training', async () => {
    const types = someIn('Q4_0', [0]);
    const distillation = { epochs: 2, batch: 1, rate: 0.01, patience: 2 };
    const text = { ...short, request: { sequences: 5, length: 32 } };
    const trained = { types, feedback: { ...text, distillation } };
    const rounded = await write(sample, 'not-trained', { types, feedback: text });
    const whole = await write(sample, 'trained', trained);
    expect(await typesIn(whole)).toEqual(await typesIn(rounded));
    expect(await tensorsIn(whole)).not.toEqual(await tensorsIn(rounded));

    const steps: number[] = [];
    const cancellation = { isCancellationRequested: false };
    const record =
      (stop: number): JobContext['progress'] =>
      ({ stage, done }) => {
        if (inEnglish(stage) === 'Training the quantized model') {
          steps.push(done);
          cancellation.isCancellationRequested = done === stop;
        }
      };
    const model = await openModelFiles(sample);
    const resumed = join(root, 'resumed-training');
    const run = async (stop: number) =>
      writeModel(
        {
          ...{ model, removed: [], out: resumed, format: 'gguf', overwrite: false },
          ...{ ...limits, ...trained },
        },
        { ...unattended, cancellation, progress: record(stop) },
      );
    await expect(run(2)).rejects.toBeInstanceOf(CancelledError);
    cancellation.isCancellationRequested = false;
    await run(-1);
    expect(steps).toEqual([0, 1, 2, 2, 3, 4, 5, 6, 7]);
    expect(await tensorsIn(ggufIn(resumed))).toEqual(await tensorsIn(whole));
    expect(existsSync(workFolder(resumed, 'round'))).toBe(false);
  });

  it('starts again for other types', async () => {
    const out = join(root, 'other-types');
    const { context } = stopsAt('blk.3.attn_q');
    await expect(start(out, someIn('Q4_0', [0, 3]), context)).rejects.toBeInstanceOf(
      CancelledError,
    );
    expect(existsSync(workFolder(out, 'round'))).toBe(true);
    const types = someIn('Q5_0', [0, 3]);
    const file = await write(sample, 'other-types', { types, feedback: short });
    const expected = await write(sample, 'from-start', { types, feedback: short });
    expect(await tensorsIn(file)).toEqual(await tensorsIn(expected));
  });

  it('rounds a matrix in parts if memory is short', async () => {
    const types = { mix: 'F32', tensors: { 'token_embd.weight': 'Q4_0' } } as const;
    const whole = await write(sample, 'all-rows', { types, feedback: short });
    const chunkedFile = await write(sample, 'some-rows', {
      ...{ types, feedback: short },
      memoryBytes: 16 << 20,
    });
    expect(await typesIn(chunkedFile)).toEqual(await typesIn(whole));
    // Sums of another number of rows differ in the last bits, so single weights are rounded to another side.
    const ids = await readTestIds();
    const original = await logits(sample, ids);
    const [expected, found] = [
      squaresBetween(original, await logits(whole, ids)),
      squaresBetween(original, await logits(chunkedFile, ids)),
    ];
    expect(found / expected).toBeCloseTo(1, 1);
  });

  it('writes the same tensors from a folder and from its GGUF file', async () => {
    const types = someIn('Q5_0', [0, 3]);
    const plain = await write(sample, 'plain', {});
    const [fromFolder, fromFile] = [
      await write(sample, 'from-folder', { types, feedback: short }),
      await write(plain, 'from-file', { types, feedback: short }),
    ];
    expect(await tensorsIn(fromFile)).toEqual(await tensorsIn(fromFolder));
  });

  it('quantizes the layers that remain after a removal', async () => {
    // By names in a GGUF file of the original, in which the second block that is rounded has number 2.
    const types = someIn('Q4_0', [0, 2]);
    const removed = ['block.1.attention', 'block.1.feedforward'];
    const plain = await write(sample, 'removed-plain', { removed, types });
    const file = await write(sample, 'removed', { removed, types, feedback: short });
    expect(await typesIn(file)).toEqual(await typesIn(plain));
    expect(await tensorsIn(file)).not.toEqual(await tensorsIn(plain));
  });

  it('rounds experts, each by the inputs that it gets', async () => {
    const folder = familyFixture('qwen2_moe');
    const names = ['gate', 'up'].map((part) => `blk.1.ffn_${part}_exps.weight`);
    const types = {
      mix: 'F32',
      tensors: Object.fromEntries(names.map((name) => [name, 'Q4_0'])),
    } as const;
    const random = { request: { file: 'random', sequences: 2, length: 8 }, bundledText: '' };
    await prune(folder, [], join(root, 'experts-plain'), { format: 'gguf', types });
    const plain = await tensorsIn(ggufIn(join(root, 'experts-plain')));
    const rounded = await tensorsIn(await write(folder, 'experts', { types, feedback: random }));
    const other = [...rounded].filter(([name, bytes]) => plain.get(name) !== bytes);
    expect(other.map(([name]) => name).sort()).toEqual(names);
  });
});

describe('distillation', () => {
  const random = { file: 'random', sequences: 200, length: 16 };
  const distillation = { ...defaultDistillation, rate: 0.01 };

  it.each([
    ['llama', 'ffn_down', 'Q2_K'],
    ['llama', 'ffn_down', 'Q3_K'],
    ['mixtral', 'ffn_down_exps', 'Q2_K'],
    // Rows of 64 become Q4_0.
    ['llama', 'all', 'Q2_K'],
  ] as const)('writes the trained weights: %s, %s, %s', async (modelType, name, type) => {
    const folder = await makeRandomModel({
      seed: 5,
      // In one block, rounding has few errors of earlier layers to correct.
      ...(name === 'all' ? { blocks: 1, hidden: 64 } : { blocks: 3 }),
      inner: 256,
      headSpread: 1,
      modelType,
    });
    const model = await openModelFiles(folder);
    const out = join(root, `distilled-${modelType}-${name}-${type}`);
    const said: string[] = [];
    await writeModel(
      {
        ...{ model, removed: [], out, format: 'gguf', overwrite: false, ...limits },
        types:
          name === 'all'
            ? { mix: type }
            : {
                mix: 'F32',
                tensors: Object.fromEntries(
                  [0].map((block) => [`blk.${block}.${name}.weight`, type]),
                ),
              },
        feedback: { request: random, bundledText: '', distillation },
      },
      { ...unattended, inform: (message) => said.push(inEnglish(message)) },
    );
    const [before = 0, after = 0] = (/from (\S+) to (\S+)\.$/.exec(said.at(-1) ?? '') ?? [])
      .slice(1)
      .map(Number);
    expect(after).toBeLessThan(0.98 * before);

    const { inputs } = await loadModelInputs(random, model.model, '', 0);
    const heldOutIds = inputs.slice(-40).map((input) => idsIn(input) ?? expect.fail());
    const found = await meanDivergence(folder, ggufIn(out), heldOutIds);
    expect(found / after).toBeCloseTo(1, 2);
  });

  it('of a model that does not fit into memory fails before rounding', async () => {
    const model = await openModelFiles(sample);
    const stages: string[] = [];
    const result = writeModel(
      {
        ...{ model, removed: [], out: join(root, 'too-large'), format: 'gguf', overwrite: false },
        ...{ ...limits, memoryBytes: 16 << 20, types: someIn('Q4_0', [0]) },
        feedback: { ...short, distillation },
      },
      { ...unattended, progress: ({ stage }) => stages.push(inEnglish(stage)) },
    );
    await expect(result).rejects.toFailWith({
      code: 'training-memory-too-small',
      file: 'espalier-sample',
      remedy: /--rounding feedback/,
    });
    expect(stages).toEqual([]);
  });
});

describe('the flags of rounding', () => {
  it.each([
    [['--type', 'Q4_0', '--rounding', 'importance'], /needs an importance matrix.*--imatrix/s],
    [['--type', 'Q4_0', '--rounding', 'nearest', '--sequences', '2'], /uses no calibration/],
    [['--type', 'F16', '--rounding', 'distill'], /no effect unless a tensor is quantized.*--type/s],
    [['--rounding', 'feedback'], /no effect unless a tensor changes type.*--type/s],
  ])('%j are refused', async (flags, message) => {
    const out = join(root, 'refused');
    const { code, stderr } = await runCli([
      'convert',
      sample,
      '--format',
      'gguf',
      ...flags,
      '--out',
      out,
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
  });
});
