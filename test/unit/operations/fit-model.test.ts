import { existsSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { costsFolder } from '../../../extension/core/jobs/user-cache';
import { inEnglish, verbatim } from '../../../extension/core/message';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { buildRequest } from '../../../extension/core/operations/build-request';
import type { GivenOf } from '../../../extension/core/operations/fields';
import { fitModel, isFitted } from '../../../extension/core/operations/fit-model';
import type { FittedModel } from '../../../extension/core/operations/fit-model';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { listedOperations, toolName } from '../../../extension/core/operations/tool-names';
import {
  defaultTimeLimit,
  expectedPhases,
  isDistillable,
  roundingSeconds,
  typeRounding,
} from '../../../extension/core/operations/size-choices';
import type { OfferedSizes } from '../../../extension/core/operations/size-choices';
import {
  describeMarks,
  isPossible,
  mixTitle,
  requantizesAlways,
} from '../../../extension/core/pipelines/size-choices';
import type { SensitivityEvent } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import type { Failure } from '../fail-with';
import { writeFirstBlocks } from '../first-blocks';
import { fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const samples = join(import.meta.dirname, '../../../samples');
const sample = join(samples, 'espalier-sample');
/** A tiny file without a tokenizer, most of whose bytes are Q8_0. */
const gguf = ggufFixture('llama-rope.gguf');
/** The costs of the machine are measured once for all tests. */
const costs = costsFolder();
const calibration = join(folder, 'calibration.txt');
const heldOutText = join(folder, 'held-out.txt');

type Given = GivenOf<typeof fitModel.fields>;

beforeAll(() => {
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
  writeFileSync(calibration, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
  writeFileSync(heldOutText, 'a stitch in time saves nine, and the early bird. '.repeat(100));
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

/** Limits of a run. */
interface Course {
  /** Entries that are measured before the clock, which nearly stands still until then, jumps beyond any limit of time. */
  readonly entriesInTime?: number;
}

/** Runs a request, and cancels it at a stage if one is named. */
async function run(given: Given, stopAt?: RegExp, { entriesInTime }: Course = {}): Promise<Run> {
  const models = new ModelCache({ capacity: 4 });
  const cancellation = { isCancellationRequested: false };
  const [stages, shares, warnings]: [string[], number[], string[]] = [[], [], []];
  let [measured, ahead] = [0, 0];
  const now = performance.now.bind(performance);
  const start = now();
  const pace = entriesInTime === undefined ? 1 : 1e-3;
  const clock = vi
    .spyOn(performance, 'now')
    .mockImplementation(() => start + pace * (now() - start) + ahead);
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
      if (entriesInTime !== undefined && measured >= entriesInTime) {
        ahead = 1e6;
      }
    },
    environment: {
      ...{ samples, version: '0', bundles: '', costsFolder: costs },
      open: async (path: string) => models.open(path),
    },
  };
  const request = buildRequest(fitModel, given);
  const result = await fitModel
    .run(request, context)
    .catch((error: unknown) => {
      if (stopAt === undefined) {
        throw error;
      }
      return undefined;
    })
    .finally(() => {
      clock.mockRestore();
    });
  return { stages, shares, warnings, measured, result };
}

async function listedSizes(given: Given): Promise<OfferedSizes> {
  const { result } = await run(given);
  if (result === undefined || isFitted(result)) {
    throw new Error('sizes are listed');
  }
  return result;
}

async function fitted(
  given: Given,
  course?: Course,
): Promise<Run & { readonly result: FittedModel }> {
  const asked: Given = { device: 'cpu', text: heldOutText, ...given };
  const { result, ...rest } = await run(asked, undefined, course);
  if (result === undefined || !isFitted(result)) {
    throw new Error('a model is written');
  }
  return { result, ...rest };
}

/** A decode speed that a model of half the bytes has on a Raspberry Pi 5, roughly. */
const decodeSpeed = ({ bytesAfter }: FittedModel): number => (0.6 * 17.1e9) / (bytesAfter / 2);

const quick = { for: 'llama.cpp', sequences: 2, length: 16 } as const;
const tiny = await writeFirstBlocks(fixture('llama-gqa-untied'), 2, folder);

describe('the sizes of a model', () => {
  it('are computed from its headers, without those that another type beats', async () => {
    const { runtime, runtimes, bytes, choices } = await listedSizes({
      model: sample,
      for: 'llama.cpp',
    });
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
    // Below the limit of the mix, which comes first, each is smaller than the one before.
    const [, ...sizes] = choices.map((choice) => choice.bytes);
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
    expect(choices.every(({ marks }) => marks.length === 0)).toBe(true);
  });

  it('mark what would requantize or be larger', async () => {
    const sizes = await listedSizes({ model: gguf });
    const { quantized, choices } = sizes;
    expect(quantized).toBe('Q8_0');
    const marks = new Map(choices.map((choice) => [choice.size, choice.marks]));
    expect(marks.get('Q8_0')).toEqual(['larger']);
    // Half the size can't be reached, so the next larger mix is offered.
    expect(marks.get('50%')).toContain('out of reach');
    expect(choices[0]).toMatchObject({ kind: 'mix', size: '75%' });
    expect(inEnglish(mixTitle('75%'))).toBe('75 % of the size');
    expect(marks.get('Q4_K_M')).toEqual(['requantizes']);
    // Possible choices come first, and those that can't be taken say only why.
    expect(choices.findLastIndex(isPossible)).toBe(choices.filter(isPossible).length - 1);
    expect(requantizesAlways(sizes)).toBe(true);
    const words = (size: string, isListed: boolean) =>
      describeMarks({ marks: marks.get(size) ?? [] }, sizes, isListed);
    expect(words('Q4_K_M', true)).toBeUndefined();
    expect(inEnglish(words('Q4_K_M', false) ?? verbatim(''))).toBe('requantizes Q8_0');
    expect(inEnglish(words('Q8_0', true) ?? verbatim(''))).toBe('not smaller than the model');
  });

  it('of an MoE model are not for transformers, which keeps all experts in one tensor', async () => {
    const model = fixture('qwen3-moe');
    const { runtime, runtimes } = await listedSizes({ model });
    expect(runtime).not.toBe('transformers');
    expect(runtimes).toEqual(['llama.cpp', 'onnxruntime']);
    await expect(run({ model, for: 'transformers' })).rejects.toFailWith({
      code: 'experts-not-expressible',
      file: 'qwen3-moe',
      field: 'for',
      remedy: /Choose llama\.cpp or onnxruntime\./,
    });
  });

  it('of a GGUF file are for llama.cpp only', async () => {
    const { runtime, runtimes } = await listedSizes({ model: gguf });
    expect([runtime, runtimes]).toEqual(['llama.cpp', ['llama.cpp']]);
    await expect(run({ model: gguf, for: 'onnxruntime' })).rejects.toFailWith({
      code: 'format-not-reachable',
      file: 'llama-rope.gguf',
      field: 'for',
      remedy: /Choose llama\.cpp\./,
    });
    await expect(run({ model: gguf, for: 'vllm' })).rejects.toFailWith({
      code: 'runtime-unsupported',
      field: 'for',
    });
  });
});

describe('a named type', () => {
  const out = join(folder, 'named');
  let smaller: string;
  const onTiny: Given = { model: tiny, for: 'llama.cpp' };

  it('is written at exactly the size that was listed, and evaluated', async () => {
    smaller = await writeFirstBlocks(sample, 3, folder);
    const { choices } = await listedSizes({ model: smaller, for: 'llama.cpp' });
    const { result, stages, shares, measured } = await fitted({
      ...{ model: smaller, for: 'llama.cpp', sequences: 4, length: 64, size: 'q5_k_m', out },
      require: ['perplexity<+20%', 'size<-50%'],
    });
    expect(result.bytesAfter).toBe(choices.find(({ size }) => size === 'Q5_K_M')?.bytes);
    expect(statSync(result.model).size).toBe(result.bytesAfter);
    expect(measured).toBe(0);
    expect(result.rounding).toBe('feedback');
    expect(stages.some((stage) => stage.startsWith('Rounding'))).toBe(true);
    expect(stages.some((stage) => /Comp|Measuring/.test(stage))).toBe(false);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(result.evaluation?.klDivergence?.value).toBeGreaterThan(0);
    expect(result.evaluation?.agreement?.value).toBeGreaterThan(0.8);
    expect(result.verdict?.outcome).toBe('accept');
    expect(fitModel.passes?.(result)).toBe(true);
    expect(result.commands.map(({ command }) => command)[0]).toContain('llama-server -m ');
  });

  it('is listed with its measured loss from then on', async () => {
    const { choices } = await listedSizes({ model: smaller, for: 'llama.cpp' });
    const known = choices.filter(({ measured }) => measured !== undefined);
    expect(known.map(({ size }) => size)).toEqual(['Q5_K_M']);
    expect(known[0]?.measured?.perplexityRatio).toBeGreaterThan(0.9);
  });

  it('that misses a requirement does not pass, and stays', async () => {
    const missed = join(folder, 'missed');
    const { result } = await fitted({
      ...{ ...onTiny, size: 'Q8_0', out: missed },
      require: ['size<-99%'],
    });
    expect(fitModel.passes?.(result)).toBe(false);
    expect(existsSync(result.model)).toBe(true);
  });

  it('that was canceled while it was evaluated is not written again', async () => {
    const later = join(folder, 'later');
    const given: Given = {
      ...{ ...onTiny, size: 'Q8_0', out: later },
      ...{ device: 'cpu', text: heldOutText },
    };
    const stopped = await run(given, /perplex|Evaluating|Predicting/i);
    expect(stopped.result).toBeUndefined();
    const [file = ''] = ['llama-gqa-untied-Q8_0.gguf'].map((name) => join(later, name));
    const { mtimeMs } = statSync(file);
    const { result } = await fitted(given);
    expect(statSync(file).mtimeMs).toBe(mtimeMs);
    expect(result.evaluation?.perplexityRatio).toBeDefined();
  });
});

describe('a size', () => {
  const given: Given = { ...quick, model: tiny, calibration, length: 16 };

  it('becomes the best mix below it, measured once for all sizes', async () => {
    const first = await fitted({ ...given, size: '50%', out: join(folder, 'half') });
    const { result } = first;
    expect(result.bytesAfter).toBeLessThanOrEqual(result.bytesBefore / 2);
    expect(result.mix?.metric).toBe('js');
    expect(result.mix?.measured).toBe(result.mix?.layers);
    expect(first.measured).toBeGreaterThan(0);
    expect(first.shares).toEqual(first.shares.toSorted((a, b) => a - b));
    const plan = JSON.parse(await readFile(result.plan ?? '', 'utf8')) as { types: object };
    expect(Object.keys(plan.types).length).toBeGreaterThan(0);
    expect(existsSync(result.sensitivity ?? '')).toBe(true);

    const second = await fitted({ ...given, size: '48%', out: join(folder, 'less') });
    expect(second.measured).toBe(0);
    expect(second.result.bytesAfter).toBeLessThanOrEqual(0.48 * result.bytesBefore);
  });

  it('continues where it was canceled', async () => {
    const sized: Given = { ...given, sequences: 3, size: '50%', out: join(folder, 'resumed') };
    const asked: Given = { ...sized, device: 'cpu', text: heldOutText };
    const stopped = await run(asked, /Choosing/);
    expect(stopped.result).toBeUndefined();
    expect(stopped.measured).toBeGreaterThan(0);
    expect(stopped.shares[0]).toBe(0);
    const { measured, shares, result } = await fitted(asked);
    expect(measured).toBe(0);
    // Not compared with the stopped run, whose share also grows with its time limit.
    expect(shares[0]).toBeGreaterThan(0);
    expect(result.bytesAfter).toBeLessThanOrEqual(result.bytesBefore / 2);
  });

  it('that takes too long to measure uses what is known by then', async () => {
    const model = fixture('llama-gqa-untied');
    const late = { ...given, model, sequences: 4, time: '10s', size: '50%' };
    const { result, warnings } = await fitted(
      { ...late, out: join(folder, 'late') },
      { entriesInTime: 40 },
    );
    const { measured = 0, layers = 0 } = result.mix ?? {};
    expect(measured).toBeGreaterThan(0);
    expect(measured).toBeLessThan(layers);
    expect(warnings.join()).toMatch(
      /linear layers were measured in \d s\. The others are estimated/,
    );
    expect(result.bytesAfter).toBeLessThanOrEqual(result.bytesBefore / 2);
  });

  it('becomes a named type if too little is measured in time', async () => {
    const { result, warnings } = await fitted(
      { ...given, sequences: 5, time: '4s', size: '50%', out: join(folder, 'never') },
      { entriesInTime: 0 },
    );
    expect(result.mix).toBeUndefined();
    expect(result.bytesAfter).toBeLessThanOrEqual(result.bytesBefore / 2);
    // Error feedback doesn't fit in a quarter of the time, and no importance matrix is measured after it is over.
    expect(result.rounding).toBe('nearest');
    expect(warnings.join()).toMatch(/0 of \d+ linear layers .* the largest type below the size/);
    const { choices } = await listedSizes({ model: tiny, for: 'llama.cpp' });
    expect(choices.find(({ size }) => size === '50%')?.longest).toBeDefined();
  });

  it('and a decode speed are one budget', async () => {
    const asked: Given = { ...given, machine: 'raspberry-pi-5', out: join(folder, 'unasked') };
    await expect(fitted({ ...asked, speed: 1 })).rejects.toFailWith({
      code: 'speed-reached-already',
      file: 'llama-gqa-untied',
      field: 'speed',
    });
    await expect(fitted({ ...asked, speed: 1e9 })).rejects.toFailWith({
      code: 'speed-not-reachable',
      file: 'llama-gqa-untied',
      field: 'speed',
    });
    const whole = await fitted({ ...given, size: '90%', out: join(folder, 'slow') });
    // Nothing was asked, and llama.cpp isn't there to measure it.
    expect(whole.result.speed).toMatchObject({ source: 'bandwidth' });
    expect(whole.result.speed?.asked).toBeUndefined();
    const { result } = await fitted({
      ...{ ...given, size: '90%', machine: 'raspberry-pi-5', out: join(folder, 'fast') },
      speed: decodeSpeed(whole.result),
    });
    expect(result.speed?.source).toBe('bandwidth');
    expect(result.speed?.after).toBeGreaterThanOrEqual(result.speed?.asked ?? Infinity);
    expect(result.bytesAfter).toBeLessThan(whole.result.bytesAfter);
    expect(result.size).toMatch(/^90%, raspberry-pi-5, [\d.]+ tokens\/s$/);
  });

  it('is refused for other programs if too little is measured in time', async () => {
    const late: Given = { ...given, for: 'onnxruntime', sequences: 5, time: '10s' };
    await expect(
      fitted({ ...late, size: '95%', out: join(folder, 'never-onnx') }, { entriesInTime: 0 }),
    ).rejects.toFailWith({ code: 'layers-measured-too-few', field: 'time' });
  });

  it('that quantization cannot reach says what can', async () => {
    await expect(
      fitted({ ...quick, model: sample, size: '5%', out: join(folder, 'tiny') }),
    ).rejects.toFailWith({ code: 'size-not-reachable', file: 'espalier-sample', field: 'size' });
    expect(existsSync(join(folder, 'tiny'))).toBe(false);
  });
});

it.each([
  [{ size: 'Q5_K_M' }, { code: 'flag-needs-other', field: 'size' }],
  [{ out: 'x' }, { code: 'flag-needs-other', field: 'out' }],
  [
    { size: 'Q5_K_M', out: 'x', time: '1min' },
    { code: 'flag-without-effect', field: 'time' },
  ],
  [
    { size: 'Q5_K_M', out: 'x', speed: 20 },
    { code: 'flag-without-effect', field: 'speed' },
  ],
  [{ machine: 'phone' }, { code: 'flag-needs-other', field: 'machine' }],
  [
    { speed: 0, out: 'x' },
    { code: 'value-invalid', field: 'speed' },
  ],
  [
    { size: '50%', memoryAt: '8x', out: 'x' },
    { code: 'value-invalid', field: 'memoryAt' },
  ],
  [
    { size: 'banana', out: 'x' },
    { code: 'value-invalid', field: 'size' },
  ],
  [
    { size: '50%', out: 'x', time: '1 day' },
    { code: 'value-invalid', field: 'time' },
  ],
] satisfies [Omit<Given, 'model'>, Failure][])(
  '%j is refused before any work',
  (given, problem) => {
    expect(() => buildRequest(fitModel, { model: sample, ...given })).toFailWith(problem);
  },
);

it.each([
  [
    { size: 'Q5_K_M', for: 'transformers' },
    { code: 'size-unknown', field: 'size' },
  ],
  [
    { size: '4GB', for: 'llama.cpp' },
    { code: 'size-not-smaller', field: 'size' },
  ],
  [
    { size: 'F32', for: 'llama.cpp' },
    { code: 'type-not-smaller', file: 'espalier-sample', field: 'size' },
  ],
  [
    { speed: 20, for: 'transformers' },
    { code: 'speed-not-planned', file: 'espalier-sample', field: 'speed' },
  ],
  [
    { size: 'Q8_0', for: 'llama.cpp', require: ['task>-2pt'] },
    { code: 'task-not-measured', field: 'require' },
  ],
  [
    { size: 'Q8_0', for: 'llama.cpp', sequences: 4 },
    { code: 'flag-without-effect', file: 'espalier-sample', field: 'sequences' },
  ],
] satisfies [Omit<Given, 'model'>, Failure][])(
  '%j is refused before anything is written',
  async (given, problem) => {
    const out = join(folder, 'refused');
    await expect(run({ model: sample, ...given, out })).rejects.toFailWith(problem);
    expect(existsSync(out)).toBe(false);
  },
);

it.each([
  [134_515_008, 300],
  [1_543_714_304, 1770],
])('the best mix of %i parameters accepts at most %i s by default', async (parameters, seconds) => {
  expect(defaultTimeLimit({ parameters })).toBe(seconds);
  const opened = await new ModelCache({ capacity: 1 }).open(sample);
  const summary = { ...opened.summary, parameters };
  const timeLimit = defaultTimeLimit(summary);
  const larger = Object.create(opened, { summary: { value: summary } }) as typeof opened;
  const phases = expectedPhases(larger, 'llama.cpp', { isMix: true, timeLimit });
  const expected = Object.values(phases).reduce((sum, phase) => sum + phase.seconds, 0);
  expect(expected).toBeLessThanOrEqual(seconds);
  // Most of the time is for measuring.
  expect(phases.measure.limit).toBeGreaterThan(seconds / 2);
});

it('rounds a named type with error feedback if its time allows that, and the model reads text', async () => {
  const models = new ModelCache({ capacity: 2 });
  const opened = await models.open(sample);
  expect(typeRounding(opened, 'llama.cpp', 'Q4_K_M')).toBe('feedback');
  expect(typeRounding(opened, 'llama.cpp', 'Q8_0')).toBe('nearest');
  expect(typeRounding(opened, 'onnxruntime', 'int4')).toBe('nearest');
  expect(typeRounding(await models.open(gguf), 'llama.cpp', 'Q4_0')).toBe('nearest');
  const changed = (changes: Partial<typeof opened.summary>) =>
    Object.create(opened, {
      summary: { value: { ...opened.summary, ...changes } },
    }) as typeof opened;
  // Larger models have time for an importance matrix only.
  expect(typeRounding(changed({ parameters: 1.5e9 }), 'llama.cpp', 'Q4_K_M')).toBe('importance');
});

it('distills a type of two or three bits if that fits in the time and memory', async () => {
  const opened = await new ModelCache({ capacity: 1 }).open(sample);
  // Rows of 192 weights can't be stored in blocks of 256.
  expect(typeRounding(opened, 'llama.cpp', 'Q2_K', { seconds: 3600 })).toBe('feedback');
  const folder = await makeRandomModel({ seed: 1, blocks: 1, hidden: 256, inner: 256 });
  const wide = Object.create(await new ModelCache({ capacity: 1 }).open(folder), {
    // It has no tokenizer.
    capabilities: { value: opened.capabilities },
  }) as typeof opened;
  const rounding = (size: string, limits = {}) => typeRounding(wide, 'llama.cpp', size, limits);
  expect(isDistillable(wide)).toBe(true);
  expect(rounding('Q2_K', { seconds: 3600 })).toBe('distill');
  expect(rounding('Q4_K_M', { seconds: 3600 })).toBe('feedback');
  expect(rounding('Q3_K_M', { seconds: 3600, memoryBytes: 1 << 20 })).toBe('feedback');
  const least = roundingSeconds(wide, 'llama.cpp', 'distill');
  expect(rounding('Q2_K', { seconds: 0.99 * least })).toBe('feedback');
});

it('rounds a mix with error feedback if that takes at most a quarter of its time', async () => {
  const opened = await new ModelCache({ capacity: 1 }).open(sample);
  expect(typeRounding(opened, 'llama.cpp', undefined)).toBe('feedback');
  expect(typeRounding(opened, 'llama.cpp', undefined, { seconds: 1 })).toBe('importance');
  expect(typeRounding(opened, 'onnxruntime', undefined)).toBe('nearest');
});

it('is the first tool that agents are offered', () => {
  expect(listedOperations.map(toolName)[0]).toBe('make_model_smaller');
});
