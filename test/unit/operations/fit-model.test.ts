import { existsSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { costsFolder } from '../../../extension/core/jobs/user-cache';
import { inEnglish } from '../../../extension/core/message';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { buildRequest } from '../../../extension/core/operations/build-request';
import type { GivenOf } from '../../../extension/core/operations/fields';
import { fitModel, isFitted } from '../../../extension/core/operations/fit-model';
import type { FittedModel } from '../../../extension/core/operations/fit-model';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { listedOperations, toolName } from '../../../extension/core/operations/tool-names';
import type { OfferedSizes } from '../../../extension/core/operations/size-choices';
import type { SensitivityEvent } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const samples = join(import.meta.dirname, '../../../samples');
const sample = join(samples, 'espalier-sample');
const gguf = fixture('gguf/llama');
/** The costs of the machine are measured once for all tests. */
const costs = costsFolder();
const calibration = join(folder, 'calibration.txt');
const heldOut = join(folder, 'held-out.txt');

type Given = GivenOf<typeof fitModel.fields>;

beforeAll(() => {
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
  writeFileSync(calibration, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
  writeFileSync(heldOut, 'a stitch in time saves nine, and the early bird. '.repeat(100));
});
afterAll(() => {
  vi.unstubAllEnvs();
});

interface Run {
  readonly stages: readonly string[];
  readonly shares: readonly number[];
  readonly warnings: readonly string[];
  readonly measured: number;
  readonly result: FittedModel | OfferedSizes | undefined;
}

/** Runs a request, and cancels it at a stage if one is named. */
async function run(given: Given, stopAt?: RegExp): Promise<Run> {
  const models = new ModelCache({ capacity: 4 });
  const cancellation = { isCancellationRequested: false };
  const [stages, shares, warnings]: [string[], number[], string[]] = [[], [], []];
  let measured = 0;
  const context: OperationContext<SensitivityEvent> = {
    ...unattended,
    cancellation,
    progress: ({ stage, done, total }) => {
      const name = inEnglish(stage);
      cancellation.isCancellationRequested ||= stopAt?.test(name) === true;
      stages.push(name);
      shares.push(done / total);
    },
    warn: (message) => {
      warnings.push(inEnglish(message));
    },
    emit: ({ kind }) => {
      measured += kind === 'sensitivity-entry' ? 1 : 0;
    },
    environment: {
      ...{ samples, version: '0', bundles: '', costsFolder: costs },
      open: async (path: string) => models.open(path),
    },
  };
  const request = buildRequest(fitModel, given);
  const result = await fitModel.run(request, context).catch((error: unknown) => {
    if (stopAt === undefined) {
      throw error;
    }
    return undefined;
  });
  return { stages, shares, warnings, measured, result };
}

async function sizesOf(given: Given): Promise<OfferedSizes> {
  const { result } = await run(given);
  if (result === undefined || isFitted(result)) {
    throw new Error('sizes are listed');
  }
  return result;
}

async function fitted(given: Given): Promise<Run & { readonly result: FittedModel }> {
  const { result, ...rest } = await run({ device: 'cpu', text: heldOut, ...given });
  if (result === undefined || !isFitted(result)) {
    throw new Error('a model is written');
  }
  return { result, ...rest };
}

const quick = { for: 'llama.cpp', sequences: 2, length: 16 } as const;

describe('the sizes of a model', () => {
  it('are computed from its headers, without those that another type beats', async () => {
    const { runtime, runtimes, bytes, choices } = await sizesOf({ model: sample, for: 'llama.cpp' });
    expect(runtime).toBe('llama.cpp');
    expect(runtimes).toEqual(['llama.cpp', 'transformers', 'onnxruntime']);
    expect(bytes).toBe(statSync(join(sample, 'model.safetensors')).size);
    expect(choices.map(({ size, kind }) => `${kind} ${size}`)).toEqual([
      'mix 50%',
      'type Q8_0',
      'type Q5_K_M',
      'type Q4_K_M',
      'type IQ4_XS',
      'type Q2_K',
    ]);
    expect(choices.map(({ bytes: size }) => size)).toEqual(
      choices.map(({ bytes: size }) => size).toSorted((a, b) => b - a).map(expect.closeTo),
    );
    expect(choices.every(({ marks }) => marks.length === 0)).toBe(true);
  });

  it('mark what would requantize or be larger', async () => {
    const { quantized, choices } = await sizesOf({ model: fixture('gguf/llama-q4_0') });
    expect(quantized).toBe('Q4_0');
    const eight = choices.find(({ size }) => size === 'Q8_0');
    expect(eight?.marks).toEqual(['larger', 'requantizes']);
  });

  it('of a GGUF file are for llama.cpp only', async () => {
    const { runtime, runtimes } = await sizesOf({ model: gguf });
    expect([runtime, runtimes]).toEqual(['llama.cpp', ['llama.cpp']]);
    await expect(run({ model: gguf, for: 'onnxruntime' })).rejects.toThrow(
      /for: .*a GGUF file stays a GGUF file\. Choose llama\.cpp\./,
    );
    await expect(run({ model: gguf, for: 'vllm' })).rejects.toThrow(/vLLM loads no quantized/);
  });
});

describe('a named type', () => {
  const out = join(folder, 'named');

  it('is written at exactly the size that was listed, and evaluated', async () => {
    const { choices } = await sizesOf({ model: sample, for: 'llama.cpp' });
    const { result, stages, shares, measured } = await fitted({
      ...{ model: sample, for: 'llama.cpp', size: 'q5_k_m', out },
      require: ['perplexity<+20%', 'size<-50%'],
    });
    expect(result.bytesAfter).toBe(choices.find(({ size }) => size === 'Q5_K_M')?.bytes);
    expect(statSync(result.model).size).toBe(result.bytesAfter);
    expect(measured).toBe(0);
    expect(stages.some((stage) => /Comp|Measuring/.test(stage))).toBe(false);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(result.evaluation?.klDivergence?.value).toBeGreaterThan(0);
    expect(result.evaluation?.agreement?.value).toBeGreaterThan(0.8);
    expect(result.verdict?.outcome).toBe('accept');
    expect(fitModel.passes?.(result)).toBe(true);
    expect(result.commands.map(({ command }) => command)[0]).toContain('llama-server -m ');
  });

  it('is listed with its measured loss from then on', async () => {
    const { choices } = await sizesOf({ model: sample, for: 'llama.cpp' });
    const known = choices.filter(({ measured }) => measured !== undefined);
    expect(known.map(({ size }) => size)).toEqual(['Q5_K_M']);
    expect(known[0]?.measured?.perplexityRatio).toBeGreaterThan(0.9);
  });

  it('that misses a requirement does not pass, and stays', async () => {
    const missed = join(folder, 'missed');
    const { result } = await fitted({
      ...{ model: sample, for: 'llama.cpp', size: 'Q2_K', out: missed },
      require: ['size<-99%'],
    });
    expect(fitModel.passes?.(result)).toBe(false);
    expect(existsSync(result.model)).toBe(true);
  });

  it('that was canceled while it was evaluated is not written again', async () => {
    const later = join(folder, 'later');
    const given: Given = {
      ...{ model: sample, for: 'llama.cpp', size: 'Q4_K_M', out: later },
      ...{ device: 'cpu', text: heldOut },
    };
    const stopped = await run(given, /perplex|Evaluating|Predicting/i);
    expect(stopped.result).toBeUndefined();
    const [file = ''] = ['espalier-sample-Q4_K_M.gguf'].map((name) => join(later, name));
    const { mtimeMs } = statSync(file);
    const { result } = await fitted(given);
    expect(statSync(file).mtimeMs).toBe(mtimeMs);
    expect(result.evaluation?.perplexityRatio).toBeDefined();
  });
});

describe('a size', () => {
  it('becomes the best mix below it, measured once for all sizes', async () => {
    const given: Given = { ...quick, model: sample, calibration };
    const first = await fitted({ ...given, size: '50%', out: join(folder, 'half') });
    const { result } = first;
    expect(result.bytesAfter).toBeLessThanOrEqual(result.bytesBefore / 2);
    expect(result.bytesAfter).toBeGreaterThan(0.48 * result.bytesBefore);
    expect(result.mix).toMatchObject({ measured: 84, layers: 84, metric: 'js' });
    expect(first.measured).toBeGreaterThan(84);
    expect(first.shares).toEqual(first.shares.toSorted((a, b) => a - b));
    const plan = JSON.parse(await readFile(result.plan ?? '', 'utf8')) as { types: object };
    expect(Object.keys(plan.types).length).toBeGreaterThan(0);
    expect(existsSync(result.sensitivity ?? '')).toBe(true);

    const second = await fitted({ ...given, size: '40%', out: join(folder, 'less') });
    expect(second.measured).toBe(0);
    expect(second.result.bytesAfter).toBeLessThanOrEqual(0.4 * result.bytesBefore);
  }, 600_000);

  it('that takes too long to measure uses what is known by then', async () => {
    const given: Given = { ...quick, model: gguf, calibration, text: heldOut };
    await expect(
      fitted({ ...given, size: '60%', time: '0.001s', out: join(folder, 'soon') }),
    ).rejects.toThrow(/time: No layer was measured in 0\.001s\./);
  });

  it('that quantization cannot reach says what can', async () => {
    await expect(
      fitted({ ...quick, model: sample, size: '5%', out: join(folder, 'tiny') }),
    ).rejects.toThrow(/size: Quantization leaves at least .* or remove blocks/);
    expect(existsSync(join(folder, 'tiny'))).toBe(false);
  });
});

it.each([
  [{ size: 'Q5_K_M' }, /size needs out/],
  [{ out: 'x' }, /out needs size/],
  [{ size: 'Q5_K_M', out: 'x', time: '1min' }, /apply only if size is a percentage/],
  [{ size: 'banana', out: 'x' }, /size takes a percentage of the model/],
  [{ size: '50%', out: 'x', time: '1 day' }, /time takes a time with its unit/],
] satisfies [Omit<Given, 'model'>, RegExp][])('%j is refused before any work', (given, problem) => {
  expect(() => buildRequest(fitModel, { model: sample, ...given })).toThrow(problem);
});

it.each([
  [{ size: 'Q5_K_M', for: 'transformers' }, /Q5_K_M is not a type of transformers/],
  [{ size: '4GB', for: 'llama.cpp' }, /4GB is not smaller than the model/],
  [{ size: 'F32', for: 'llama.cpp' }, /F32 would take/],
  [{ size: 'Q8_0', for: 'llama.cpp', require: ['task>-2pt'] }, /task is not measured/],
] satisfies [Omit<Given, 'model'>, RegExp][])('%j is refused before anything is written', async (given, problem) => {
  const out = join(folder, 'refused');
  await expect(run({ model: sample, ...given, out })).rejects.toThrow(problem);
  expect(existsSync(out)).toBe(false);
});

it('is the first tool that agents are offered', () => {
  expect(toolName(listedOperations[0] ?? fitModel)).toBe('make_model_smaller');
});
