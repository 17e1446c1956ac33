import { rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import * as v from 'valibot';
import { memoryContext } from '../quality-labels';
import { defaultCalibration, sensitivityCalibration } from '../data/calibration-defaults';
import { loadModelInputs } from '../data/model-inputs';
import { defaultDocumentPath } from '../document-names';
import { evaluateModels } from '../evaluate/evaluate-models';
import type { EvaluationResult } from '../evaluate/evaluation';
import { addLlamaSpeeds } from '../evaluate/llama-speed';
import { asksFor, judge } from '../evaluate/requirements';
import type { Verdict } from '../evaluate/requirements';
import { meanFactor } from '../evaluate/paired';
import type { Importance } from '../export/gguf/importance';
import { readImportance, writeImportance } from '../export/gguf/importance';
import { inputSums } from '../export/gguf/input-sums';
import { compareSpeed } from '../generate/compare-speed';
import { formatBytes, formatDuration, formatSpeed } from '../format';
import { makeWorkFolder, applyFolders } from '../jobs/work-folder';
import { CancelledError } from '../jobs/job';
import { Phases } from '../jobs/phases';
import { resumable } from '../jobs/saved-parts';
import { writeDocument } from '../jobs/write-document';
import { say } from '../message';
import type { OpenedModel } from '../models/opened-model';
import { memoryAt } from '../models/model-summary';
import {
  decodeCosts,
  leastDecodeMs,
  originalDecodeMs,
  withDecodeTimes,
} from '../pipelines/decode-costs';
import type { DecodeCosts } from '../pipelines/decode-costs';
import { fitContext, resolveTarget } from '../pipelines/fit-targets';
import type { AskedTargets } from '../pipelines/fit-targets';
import { contextForm, machineNames } from '../pipelines/machines';
import type { MachineName } from '../pipelines/machines';
import { runtimeMemory, totalMemory } from '../pipelines/runtime-memory';
import { applyPlan } from '../pipelines/apply-plan';
import type { PlanApplication } from '../pipelines/apply-plan';
import type { PruneResult } from '../pipelines/prune-result';
import { runtimeNames, runtimeOutput } from '../pipelines/runtimes';
import type { Runtime } from '../pipelines/runtimes';
import {
  targetBytes,
  encodingChoices,
  leastLimit,
  namesType,
  plannedLimit,
  quantizedType,
  sizeForm,
  weightBytes,
} from '../pipelines/size-choices';
import type { TargetSize } from '../pipelines/size-choices';
import { planFor, plannedChanges } from '../plans/plan';
import type { Plan } from '../plans/plan';
import { resolveDevice } from '../runtime/devices';
import { installedLlama } from '../runtime/llama/installation';
import { planProblem } from '../tensornet/budget/plan-under-budget';
import { estimateUnmeasured } from '../tensornet/sensitivity/estimate-unmeasured';
import type {
  SensitivityEvent,
  SensitivityProfile,
} from '../tensornet/sensitivity/sensitivity-profile';
import { typeMixNames } from '../export/gguf/type-mixes';
import { UserError } from '../user-error';
import { keepPlan } from './apply-plan';
import { compressionBudget, planJournalPaths, planByBudget } from './budget-fields';
import { compressionFields, compressionSettings } from './compression-fields';
import { choice, flag, formed, group, number, path } from './fields';
import type { RequestOf } from './fields';
import { requirementsField, heldOutText, keepsLimits, verdictSchema } from './requirement-fields';
import { operationJournal, ownFolder } from './journals';
import { rememberLoss } from './measured-losses';
import { measureSensitivity, sensitivityJournal } from './measure-sensitivity';
import { defineOperation } from './operation';
import { compressedOutcome } from './outcomes';
import type { OperationContext } from './operation';
import { runCommands } from './run-commands';
import type { RunCommand } from './run-commands';
import { allNeed, needs } from './rules';
import type { NameOf, Rule } from './rules';
import {
  calibratedRounding,
  calibrationFields,
  calibrationNames,
  isCalibrated,
  requestedCalibration,
  calibrationRules,
  modelField,
  runFields,
  runOptions,
  sampleText,
} from './shared-fields';
import {
  chosenRuntime,
  defaultTimeLimit,
  expectedPhases,
  fitWork,
  hasFewBits,
  isDistillable,
  mixRequest,
  offerSizes,
  roundingSeconds,
  typeRounding,
} from './size-choices';
import type { FitPhase, OfferedSizes, RoundingLimits, TypeRounding } from './size-choices';
import type { Message } from '../message';

/** A best mix, as it was planned. */
interface PlannedMix {
  /** Most bytes that it may have. */
  readonly limit: number;
  /** Measured distance of the whole plan from the original. */
  readonly distance: number;
  readonly metric: string;
  /** Linear layers that were measured, of all. */
  readonly measured: number;
  readonly layers: number;
}

/** Decode speeds by the times of types. */
export interface PredictedSpeed {
  /** Minimum speed that was asked for; absent if none was. */
  readonly asked?: number;
  readonly before: number;
  readonly after: number;
  /** `llama.cpp` if types were timed in it on this machine, `bandwidth` for an estimate. */
  readonly source: DecodeCosts['source'];
  /** Machine that it was estimated for; absent for this one. */
  readonly machine?: MachineName;
}

/** A smaller model that was written, reopened and evaluated. */
export interface FittedModel extends PruneResult {
  /** Model to open: the written file, or the folder. */
  readonly model: string;
  readonly runtime: Runtime;
  readonly size: string;
  /** Quantization type of most of the original's weights, which were quantized again; absent if they were floats. */
  readonly requantized?: string;
  /** Bytes of weights, keys, values and buffers at a context. */
  readonly memory: { readonly context: number; readonly before: number; readonly after: number };
  /** Predicted decode speed in tokens/s, if requested or if llama.cpp isn't installed to measure it. */
  readonly speed?: PredictedSpeed;
  /** Bytes of tensors by their type. */
  readonly types: Readonly<Record<string, number>>;
  readonly mix?: PlannedMix;
  /** Rounding to GGUF types; absent for mixes without error feedback. */
  readonly rounding?: TypeRounding;
  /** On held-out text, against the original; absent if that can't be measured. */
  readonly evaluation?: EvaluationResult;
  /** Reason why it wasn't evaluated. */
  readonly unevaluated?: Message;
  readonly verdict?: Verdict;
  /** Commands that run it. */
  readonly commands: readonly RunCommand[];
  /** Documents next to the model. */
  readonly plan?: string;
  readonly sensitivity?: string;
}

/** Sizes to choose from, or the model of the size that was asked for. */
export type FitResult = OfferedSizes | FittedModel;

/** True for the result of a request with a size. */
export const isFitted = (result: FitResult): result is FittedModel => 'verification' in result;

/** Fields that ask for a smaller model. */
const targetNames = ['size', 'machine', 'speed'] as const;

const measuringOnly = (name: NameOf): Message =>
  say`${name('machine')} and ${name('speed')} apply only if ${name('size')} is a percentage or an amount. ${name('time')} also applies to types of two or three bits, which are trained.`;

/** A named type is written without measuring. */
const measuringRule: Rule = {
  describe: measuringOnly,
  check: ({ size, ...given }) => {
    if (typeof size !== 'string' || !namesType(size)) {
      return undefined;
    }
    const idle = [...(hasFewBits(size) ? [] : ['time']), 'machine', 'speed'].filter(
      (key) => given[key] !== undefined,
    );
    return idle.length > 0
      ? { fields: idle, code: 'flag-without-effect', problem: measuringOnly }
      : undefined;
  },
};

const timeForm = {
  pattern: /^\d+(?:\.\d+)?\s?(?:s|min|h)$/,
  takes: say`a time with its unit, such as 90s, 15min or 1h`,
};

const secondsPer: Readonly<Record<string, number>> = { s: 1, min: 60, h: 3600 };

/** Seconds of a time that {@link timeForm} matches. */
function parseTime(text: string): number {
  const [, amount, unit = 's'] = /^([\d.]+)\s?([a-z]+)$/.exec(text) ?? [];
  return Number(amount) * (secondsPer[unit] ?? 1);
}

const fields = {
  model: modelField,
  size: formed(sizeForm, {
    description: 'Size of the new model: a percentage, an amount, or a type such as Q5_K_M',
    fallback: 'none: sizes are listed',
    placeholder: '50%|4GB|TYPE',
  }),
  memoryAt: formed(contextForm, {
    description:
      'Context length at which memory is counted; --size is then a limit of memory (weights, keys, values and buffers) instead of file size',
    fallback: '4096 tokens, or the context of the machine',
    placeholder: 'TOKENS',
  }),
  machine: choice(machineNames, {
    description: 'Target machine: the model and its context must fit in its memory',
    placeholder: 'MACHINE',
  }),
  speed: number({
    description:
      'Minimum decode speed in llama.cpp, on this machine or the one named; types are timed if llama.cpp is installed, otherwise the speed is estimated from the memory bandwidth',
    unit: 'tokens/s',
    placeholder: 'N',
    above: 0,
  }),
  for: choice(runtimeNames, {
    description: 'Program that will run it',
    fallback: 'llama.cpp for GGUF, onnxruntime for ONNX, transformers for folders',
    placeholder: 'PROGRAM',
  }),
  ...group('Output', {
    out: path({ description: 'New folder to write', placeholder: 'DIR' }),
    overwrite: flag({
      description: 'Replace a folder that contains only files written by Espalier',
      default: false,
    }),
  }),
  ...group('Measuring', {
    time: formed(timeForm, {
      description:
        'Maximum duration of the job, writing and evaluation included; layers not measured by then are estimated',
      fallback: '5 min for a model of 135M parameters, 30 min for 1.5B, in proportion for others',
      placeholder: 'TIME',
    }),
    text: path({
      description: 'Held-out text that both models are evaluated on (.txt, .md, .jsonl)',
      fallback: sampleText,
      setting: 'evaluation.file',
    }),
    require: requirementsField,
  }),
  ...calibrationFields(sensitivityCalibration),
  ...runFields,
};

type FitRequest = RequestOf<typeof fields>;
type SizedRequest = FitRequest & { readonly out: string };

const fitJournal = operationJournal('fit');
const evaluationJournal = operationJournal('fit-evaluation');

export const fitModel = defineOperation({
  id: 'fit',
  title: 'Make Model Smaller',
  verb: 'Shrinking',
  summary:
    'Make a model smaller with the least loss: quantize it to a size or type, check and evaluate it. Lists sizes if none is given.',
  group: 'start',
  fields,
  rules: [
    ...targetNames.map((name) => needs(name, 'out')),
    allNeed(
      ['out', 'overwrite', 'time', 'text', 'require', ...calibrationNames, 'device', 'memory'],
      ...targetNames,
    ),
    measuringRule,
    ...calibrationRules,
  ],
  result: v.looseObject({
    choices: v.optional(v.array(v.looseObject({ size: v.string(), bytes: v.number() }))),
    path: v.string(),
    bytesAfter: v.optional(v.number()),
    verdict: v.optional(verdictSchema),
  }),
  trust: 'write',
  writesNextTo: ['plan', 'sensitivity'],
  passes: (result: FitResult) => !isFitted(result) || keepsLimits(result),
  requires: ({ size = '' }) => (namesType(size) ? {} : { model: 'calibration' }),
  resume: ({ model, size = '', out }) =>
    out === undefined
      ? []
      : [
          evaluationJournal.path(undefined, model),
          fitJournal.path(undefined, model),
          ...applyFolders(out),
          ...(namesType(size) ? [] : planJournalPaths(model, undefined)),
        ],
  work: async (request, { open }) => {
    const { model: given, out, size, for: asked, time } = request;
    if (out === undefined) {
      return undefined;
    }
    const model = await open(given);
    return fitWork(model, await chosenRuntime(model, asked), size, {
      ...runOptions(request),
      seconds: time === undefined ? undefined : parseTime(time),
    });
  },
  run: async (request, context: OperationContext<SensitivityEvent>): Promise<FitResult> => {
    const model = await context.environment.open(request.model);
    const { out } = request;
    return out === undefined
      ? offerSizes(model, request, context.environment, quiet(context))
      : fit({ ...request, out }, model, context);
  },
  presentation: {
    opens: 'folder',
    report: 'fitted',
    outcome: (result) =>
      isFitted(result)
        ? {
            ...compressedOutcome(result),
            shown: true,
          }
        : { summary: say`Listed sizes.`, shown: true, writesNothing: true },
    nextSteps: () => ['playground', 'reveal', 'evenSmaller', 'seeWhy'],
  },
});

async function fit(
  request: SizedRequest,
  model: OpenedModel,
  context: OperationContext<SensitivityEvent>,
): Promise<FittedModel> {
  const { size, machine, speed, out, time, require: limits = [] } = request;
  if (asksFor(limits, 'task')) {
    throw new UserError('task-not-measured', say`This command can't measure a task.`, {
      field: 'require',
      remedy: say`Remove the limit, and measure the task with \`espalier evaluate --task\` afterwards.`,
    });
  }
  const runtime = await chosenRuntime(model, request.for);
  const roundingLimits = {
    ...runOptions(request),
    seconds: time === undefined ? undefined : parseTime(time),
  };
  const target = await reachableTarget(model, runtime, request, roundingLimits, quiet(context));
  const decoding =
    speed === undefined
      ? undefined
      : await reachableSpeed(model, runtime, { speed, machine }, context);
  const isMix = target.kind === 'limit';
  if (isMix && decoding !== undefined && target.bytes >= (await weightBytes(model))) {
    requireSlower(model, decoding);
  }
  const text = request.text ?? join(context.environment.samples, heldOutText);
  const timeLimit = roundingLimits.seconds ?? defaultTimeLimit(model.summary);
  const deadline = performance.now() + 1000 * timeLimit;
  const rounding =
    target.kind === 'encoding'
      ? 'nearest'
      : typeRounding(model, runtime, isMix ? undefined : target.type, roundingLimits);
  if (!isMix && rounding === 'nearest') {
    requireNoCalibration(request, model);
  }
  const expected = expectedPhases(
    model,
    runtime,
    isMix ? { isMix, timeLimit, rounding } : { isMix, rounding },
  );
  const phases = new Phases<FitPhase>(expected, (progress) => {
    context.progress(progress);
  });
  const { version } = context.environment;
  const place = async (): Promise<string> => fitJournal.prepare(undefined, model.path);
  return resumable({ place, out: undefined, version }, context, async (saved) => {
    const calibration = Object.fromEntries(calibrationNames.map((key) => [key, request[key]]));
    const asked = [size, request.memoryAt, machine, speed];
    await saved.bind([model.summary.fingerprint, runtime, asked, resolve(out), calibration]);
    const part = saved.part('written', writtenSchema);
    const [known] = part.values;
    let written = known !== undefined && (await isThere(known.result)) ? known : undefined;
    if (written === undefined) {
      const { measure, plan } = expected;
      const seconds = { whole: timeLimit, measure: measure.limit ?? 0, plan: plan.limit ?? 0 };
      const job = { request, model, runtime, phases, seconds, deadline, decoding, rounding };
      if (isMix) {
        context.inform(
          say`Takes at most about ${formatDuration(seconds.whole)}. Layers that are not measured within ${formatDuration(seconds.measure)} are estimated from others, and the plan is refined for at most ${formatDuration(seconds.plan)}.`,
        );
      }
      written = await write(job, target, context);
      await part.add([written]);
    }
    for (const phase of ['measure', 'importance', 'plan', 'write'] as const) {
      phases.skip(phase);
    }
    const { result, ...documents } = written;
    const file = result.files.find(({ name }) => /\.(?:gguf|onnx)$/i.test(name))?.name;
    const path = file === undefined ? result.path : join(result.path, file);
    const changed = await context.environment.open(path);
    const { evaluation, unevaluated, verdict } = await phases.run(
      'evaluate',
      context,
      async (inner) =>
        evaluate(
          { request, model, changed, text, limits, result },
          { ...inner, environment: context.environment },
        ),
    );
    const tokens = fitContext(model, request);
    const requantized = quantizedType(model.summary);
    // A type that replaced a mix doesn't determine the size.
    if (!isMix || written.mix !== undefined) {
      await rememberFit(request, model, runtime, evaluation);
    }
    const speeds =
      decoding !== undefined
        ? decodeSpeeds(decoding, model, changed, machine)
        : runtime === 'llama.cpp' && model.capabilities.generate.able
          ? await unmeasuredSpeeds(model, changed, machine, context)
          : undefined;
    return {
      ...result,
      ...{ model: path, runtime, size: describeTargets(request) },
      ...(requantized === undefined ? {} : { requantized }),
      memory: {
        context: tokens,
        before: totalMemory(runtimeMemory(model, runtime, tokens)),
        after: totalMemory(runtimeMemory(changed, runtime, tokens)),
      },
      ...(speeds === undefined ? {} : { speed: speeds }),
      types: changed.summary.dtypes,
      ...documents,
      ...(evaluation === undefined ? {} : { evaluation }),
      ...(unevaluated === undefined ? {} : { unevaluated }),
      ...(verdict === undefined ? {} : { verdict }),
      commands: runCommands(runtime, path, tokens),
    };
  });
}

/** Remembers the measured loss for later choices of a size, if the request is for a size alone. */
async function rememberFit(
  { size, memoryAt, machine, speed }: SizedRequest,
  model: OpenedModel,
  runtime: Runtime,
  evaluation: FittedModel['evaluation'],
): Promise<void> {
  const isOnlySize = [memoryAt, machine, speed].every((one) => one === undefined);
  if (size === undefined || !isOnlySize || evaluation?.perplexityRatio === undefined) {
    return;
  }
  const { perplexityRatio, klDivergence } = evaluation;
  await rememberLoss(
    model.summary.fingerprint,
    { runtime, size },
    {
      perplexityRatio: perplexityRatio.value,
      ...(klDivergence === undefined ? {} : { klDivergence: klDivergence.value }),
    },
  ).catch(() => undefined);
}

/** Estimated decode speeds before and after, in tokens per second. */
function decodeSpeeds(
  { asked, costs }: Pick<AskedSpeed, 'costs'> & Partial<AskedSpeed>,
  model: OpenedModel,
  changed: OpenedModel,
  machine: SizedRequest['machine'],
): PredictedSpeed {
  return {
    ...(asked === undefined ? {} : { asked }),
    before: 1000 / originalDecodeMs(model, costs),
    after: 1000 / originalDecodeMs(changed, costs),
    source: costs.source,
    ...(machine === undefined ? {} : { machine }),
  };
}

/** Estimated decode speeds, if llama.cpp isn't installed to measure them or another machine was named. */
async function unmeasuredSpeeds(
  model: OpenedModel,
  changed: OpenedModel,
  machine: SizedRequest['machine'],
  context: OperationContext<SensitivityEvent>,
): Promise<PredictedSpeed | undefined> {
  if (machine === undefined && (await installedLlama()) !== undefined) {
    return undefined;
  }
  const costs = await decodeCosts(model, machine, context.environment, quiet(context));
  return decodeSpeeds({ costs }, model, changed, machine);
}

/** Journal entry of a model that was written but not evaluated. */
interface Written extends Pick<FittedModel, 'mix' | 'rounding' | 'plan' | 'sensitivity'> {
  readonly result: PruneResult;
}

const writtenSchema = v.looseObject({
  result: v.looseObject({
    path: v.string(),
    files: v.array(v.object({ name: v.string(), bytes: v.number() })),
  }),
}) as unknown as v.GenericSchema<unknown, Written>;

/** True if all files that were written are there, with their sizes. */
async function isThere({ path: folder, files }: PruneResult): Promise<boolean> {
  for (const { name, bytes } of files) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    if (found?.size !== bytes) {
      return false;
    }
  }
  return true;
}

/**
 * The size that is asked for, checked before anything is measured.
 * @throws UserError if it would be larger than the model, or quantization can't reach it.
 */
async function reachableTarget(
  model: OpenedModel,
  runtime: Runtime,
  asked: AskedTargets,
  limits: RoundingLimits,
  context: OperationContext<unknown>,
): Promise<TargetSize> {
  const output = await runtimeOutput(model, runtime);
  const bytes = await weightBytes(model);
  const target = await resolveTarget(model, runtime, asked);
  if (target.kind !== 'limit') {
    const hasImportance =
      target.kind === 'type' && typeRounding(model, runtime, target.type, limits) === 'importance';
    const after = await targetBytes(model, output, target, context, hasImportance);
    if (after >= bytes) {
      throw new UserError(
        'type-not-smaller',
        say`${asked.size ?? ''} would take ${formatBytes(after)}, and the model takes ${formatBytes(bytes)}.`,
        {
          ...{ file: model.path, field: 'size' },
          remedy: say`Choose a smaller type: \`espalier fit\` without --size lists them.`,
        },
      );
    }
    return target;
  }
  const least = await leastLimit(model, output, runtime, context);
  if (least === undefined) {
    const type = await largestType(model, runtime, target.bytes, context);
    throw new UserError(
      'tensors-shared',
      model.summary.sublayers.some(({ experts }) => experts !== undefined)
        ? say`The experts of a block share a tensor, so tensors can't get types of their own.`
        : say`Some layers share a tensor, so tensors can't get types of their own.`,
      {
        ...{ file: model.path, field: asked.size === undefined ? 'machine' : 'size' },
        remedy: say`Choose --size ${type.kind === 'type' ? type.type : ''}, the largest type below ${formatBytes(target.bytes)}.`,
      },
    );
  }
  if (least > target.bytes) {
    throw unreachableSize(model, target.bytes, least, asked);
  }
  return target;
}

/** Requested decode speed. */
interface AskedSpeed {
  /** Tokens per second. */
  readonly asked: number;
  readonly costs: DecodeCosts;
}

/**
 * Costs of decoding, checked before anything is measured.
 * @throws UserError if no mix of types is as fast, or the program is not llama.cpp
 */
async function reachableSpeed(
  model: OpenedModel,
  runtime: Runtime,
  { speed, machine }: { readonly speed: number; readonly machine: MachineName | undefined },
  context: OperationContext<SensitivityEvent>,
): Promise<AskedSpeed> {
  const { path: file } = model;
  if (runtime !== 'llama.cpp') {
    throw new UserError(
      'speed-not-planned',
      say`A speed is planned for llama.cpp only, not for ${runtime}.`,
      {
        ...{ file, field: 'speed' },
        remedy: say`Add --for llama.cpp, or leave --speed out.`,
      },
    );
  }
  const quietly = { ...context, emit: () => undefined };
  const costs = await decodeCosts(model, machine, context.environment, quietly);
  const most = 1000 / leastDecodeMs(model, costs);
  const source =
    costs.source === 'llama.cpp'
      ? say`types timed in llama.cpp`
      : say`estimate by memory bandwidth`;
  if (most < speed) {
    throw new UserError(
      'speed-not-reachable',
      say`The smallest types decode ${formatSpeed(most)} tokens/s (${source}), below ${formatSpeed(speed)}.`,
      {
        ...{ file, field: 'speed' },
        remedy: say`Choose a lower speed, or remove blocks first (\`espalier prune\`).`,
      },
    );
  }
  const now = 1000 / originalDecodeMs(model, costs);
  context.inform(say`The original decodes ${formatSpeed(now)} tokens/s (${source}).`);
  return { asked: speed, costs };
}

/** @throws UserError if the original is already fast enough and there is no other limit */
function requireSlower(model: OpenedModel, { asked, costs }: AskedSpeed): void {
  const now = 1000 / originalDecodeMs(model, costs);
  if (now >= asked) {
    throw new UserError(
      'speed-reached-already',
      say`The model already decodes ${formatSpeed(now)} tokens/s.`,
      {
        ...{ file: model.path, field: 'speed' },
        remedy: say`Choose a size, such as 50%, or a higher speed.`,
      },
    );
  }
}

/** `50%, phone, 20 tokens/s` */
const describeTargets = ({ size, memoryAt: context, machine, speed }: AskedTargets): string =>
  [
    context !== undefined && size !== undefined ? `${size} at ${context}` : size,
    machine,
    speed === undefined ? undefined : `${speed} tokens/s`,
  ]
    .filter((one) => one !== undefined)
    .join(', ');

/**
 * Largest named type below a limit, for models whose tensors can't have individual types.
 * @throws UserError if there is none
 */
async function largestType(
  model: OpenedModel,
  runtime: Runtime,
  limit: number,
  context: OperationContext<unknown>,
): Promise<TargetSize> {
  const output = await runtimeOutput(model, runtime);
  if (runtime !== 'llama.cpp') {
    throw new UserError(
      'nothing-to-quantize',
      say`The model has no weights that can be quantized.`,
      {
        ...{ file: model.path, field: 'for' },
        remedy: say`Choose llama.cpp, or remove layers with \`espalier prune\`.`,
      },
    );
  }
  const sizes: { readonly target: TargetSize; readonly bytes: number }[] = [];
  for (const type of typeMixNames) {
    const target = { kind: 'type', type } as const;
    sizes.push({ target, bytes: await targetBytes(model, output, target, context) });
  }
  const [best] = sizes.filter(({ bytes }) => bytes <= limit).sort((a, b) => b.bytes - a.bytes);
  if (best === undefined) {
    throw unreachableSize(model, limit, Math.min(...sizes.map(({ bytes }) => bytes)), {});
  }
  return best.target;
}

const unreachableSize = (
  { path: file }: OpenedModel,
  limit: number,
  least: number,
  { size, machine }: AskedTargets,
): UserError =>
  new UserError(
    'size-not-reachable',
    say`Quantization needs at least ${formatBytes(least)}, more than the size of ${formatBytes(limit)}.`,
    {
      ...{ file, field: size === undefined && machine !== undefined ? 'machine' : 'size' },
      remedy: say`Choose a larger size, or remove blocks, experts or channels first (\`espalier profile\`, \`espalier prune\`), which usually costs more quality per byte than quantization.`,
    },
  );

/** A job after its size is known. */
interface FitJob {
  readonly request: SizedRequest;
  readonly model: OpenedModel;
  readonly runtime: Runtime;
  readonly phases: Phases<FitPhase>;
  /** Longest times. */
  readonly seconds: Readonly<Record<'whole' | 'measure' | 'plan', number>>;
  /** Deadline of a mix, on the clock of `performance.now()`. */
  readonly deadline: number;
  readonly decoding: AskedSpeed | undefined;
  readonly rounding: TypeRounding;
}

/** Measures and plans if the size asks for it, then writes and reopens the model. */
async function write(
  job: FitJob,
  asked: TargetSize,
  context: OperationContext<SensitivityEvent>,
): Promise<Written> {
  const { request, model, runtime, phases } = job;
  const { out, overwrite } = request;
  const { option } = await runtimeOutput(model, runtime);
  const origin = { path: resolve(model.path), fingerprint: model.summary.fingerprint };
  const mixed = asked.kind === 'limit' ? await planMix(job, asked.bytes, context) : undefined;
  const target =
    asked.kind === 'limit' && mixed === undefined
      ? await largestType(model, runtime, asked.bytes, quiet(context))
      : asked;
  const plan: Plan =
    mixed?.plan ??
    planFor(
      origin,
      target.kind === 'encoding' ? { compress: encodingChoices(model, target.encoding) } : {},
    );
  const compress = plan.compress ?? [];
  const { environment } = context;
  // A type that replaces a mix gets no importance matrix: its size was counted without one, and the time is over.
  const rounding =
    target !== asked && job.rounding === 'importance'
      ? ('nearest' as const)
      : mixed !== undefined && isWorthTraining(job, plan)
        ? ('distill' as const)
        : job.rounding;
  const importance =
    mixed === undefined && rounding === 'importance'
      ? await phases.run('importance', context, async (inner) =>
          measureImportance(request, model, { ...inner, environment }),
        )
      : mixed?.importance;
  const types = {
    ...(target.kind === 'type' ? { mix: target.type } : {}),
    ...(importance === undefined ? {} : { importance }),
  };
  const application: PlanApplication = {
    ...{ model, plan, out, overwrite, format: option.format },
    ...(Object.keys(types).length === 0 ? {} : { types }),
    ...runOptions(request),
    ...(isCalibrated(rounding)
      ? { feedback: calibratedRounding(request, rounding, model, context.environment) }
      : {}),
    ...(compress.length === 0
      ? {}
      : {
          compression: compressionSettings(
            { ...defaultCompression, ...request },
            model.model,
            compress,
            context.environment,
          ),
        }),
  };
  const result = await phases.run('write', context, async (inner) =>
    applyPlan(application, { ...inner, emit: () => undefined }),
  );
  if (mixed === undefined) {
    return target.kind === 'type' ? { result, rounding } : { result };
  }
  const { table, mix } = mixed;
  await keepPlan(plan, out, context);
  const [planFile, sensitivity] = (['plan', 'sensitivity'] as const).map((id) =>
    defaultDocumentPath(id, resolve(out)),
  );
  await writeDocument(sensitivity ?? '', table);
  return {
    result,
    mix,
    ...(isCalibrated(rounding) ? { rounding } : {}),
    ...(planFile === undefined ? {} : { plan: planFile }),
    ...(sensitivity === undefined ? {} : { sensitivity }),
  };
}

/** True if a planned mix has types of two or three bits, and there is time and memory to train it. */
function isWorthTraining(
  { request, model, runtime, deadline }: FitJob,
  { types = {} }: Plan,
): boolean {
  return (
    runtime === 'llama.cpp' &&
    Object.values(types).some(hasFewBits) &&
    performance.now() + 1000 * roundingSeconds(model, runtime, 'distill') <= deadline &&
    isDistillable(model, runOptions(request).memoryBytes)
  );
}

/** Defaults of how layers are compressed. */
const defaultCompression = {
  calibrate: compressionFields.calibrate.default ?? true,
  qdq: compressionFields.qdq.default ?? false,
  rows: compressionFields.rows.default ?? 1,
  seed: compressionFields.seed.default ?? 0,
};

interface MixedPlan {
  readonly plan: Plan;
  /** Profile as measured, without estimates. */
  readonly table: SensitivityProfile;
  readonly mix: PlannedMix;
  readonly importance?: Importance;
}

/**
 * Measures each tensor in each type, and plans the best mix below a limit.
 * @returns undefined, with a warning, if too little was measured in time for llama.cpp
 */
async function planMix(
  { request, model, runtime, phases, seconds, decoding }: FitJob,
  limit: number,
  context: OperationContext<SensitivityEvent>,
): Promise<MixedPlan | undefined> {
  const { environment } = context;
  const asked = mixRequest(model, runtime, {
    ...request,
    deadline: performance.now() + 1000 * seconds.measure,
  });
  const table = await phases.run('measure', context, async (inner) =>
    measureSensitivity(asked, undefined, { ...inner, environment }, true),
  );
  const { table: estimated, measured } = estimateUnmeasured(table);
  const complete =
    decoding === undefined ? estimated : withDecodeTimes(estimated, decoding.costs, model);
  const layers = table.layers.length;
  const limits = [
    `bytes<${plannedLimit(model, runtime, limit)}`,
    ...(decoding === undefined ? [] : [`decode<${decodeLimit(decoding).toFixed(6)}`]),
  ];
  if (measured < layers) {
    const count = say`${measured} of ${layers} linear layers were measured in ${formatDuration(seconds.measure)}`;
    if (!isReachable(complete, limits)) {
      if (runtime !== 'llama.cpp') {
        throw new UserError(
          'layers-measured-too-few',
          say`${count}, too few for a mix of this size.`,
          {
            field: 'time',
            remedy: say`Allow more time (--time), or choose int8 or int4, which need no measurement.`,
          },
        );
      }
      context.warn(say`${count}, too few for a mix: the largest type below the size is written.`);
      return undefined;
    }
    context.warn(say`${count}. The others are estimated from layers of the same shape.`);
  }
  const folder = await ownFolder(await sensitivityJournal.prepare(undefined, model.path), 'fit');
  const plan = await phases.run('plan', context, async (inner) =>
    planByBudget(
      {
        ...asked,
        ...{ measured: complete, takesTypes: runtime === 'llama.cpp' },
        limits,
        planDeadline: performance.now() + 1000 * seconds.plan,
      },
      folder,
      { ...inner, environment },
    ),
  );
  const { note, ...changes } = plan;
  const origin = { path: resolve(model.path), fingerprint: model.summary.fingerprint };
  const importance =
    plan.byImportance === true
      ? await phases.run('importance', context, async (inner) =>
          measureImportance(request, model, { ...inner, environment }),
        )
      : undefined;
  return {
    plan: planFor(origin, { ...plannedChanges(changes), note }),
    table,
    mix: { limit, distance: plan.distance, metric: table.metric, measured, layers },
    ...(importance === undefined ? {} : { importance }),
  };
}

/** Milliseconds per token available for reading weights. */
const decodeLimit = ({ asked, costs }: AskedSpeed): number => 1000 / asked - costs.restMs;

/** True if the options of a profile reach limits. */
function isReachable(table: SensitivityProfile, limits: readonly string[]): boolean {
  try {
    planProblem(table, compressionBudget({ limits }));
    return true;
  } catch (error) {
    if (error instanceof UserError) {
      return false;
    }
    throw error;
  }
}

/**
 * Refuses calibration for a type that is rounded to the nearest values.
 * @throws {UserError} If the request names calibration.
 */
function requireNoCalibration(request: SizedRequest, { path }: OpenedModel): void {
  const [field] = calibrationNames.filter((name) => request[name] !== undefined);
  if (field !== undefined) {
    throw new UserError(
      'flag-without-effect',
      say`${request.size ?? ''} needs no calibration here: weights are rounded to the nearest values.`,
      { file: path, field, remedy: say`Remove it.` },
    );
  }
}

/** Importance matrix of the model on the calibration text. */
async function measureImportance(
  request: SizedRequest,
  model: OpenedModel,
  context: OperationContext<SensitivityEvent>,
): Promise<Importance> {
  const { samples } = context.environment;
  const { device, memoryBytes } = runOptions(request);
  const calibration = requestedCalibration(request, defaultCalibration, model.summary.maxPositions);
  const { inputs } = await loadModelInputs(
    calibration,
    model.model,
    join(samples, 'calibration.txt'),
    0,
  );
  const where = { device: await resolveDevice(device, () => undefined), memoryBytes };
  const sums = await inputSums(model, inputs, where, context);
  const folder = await ownFolder(await fitJournal.prepare(undefined, model.path), 'importance');
  await makeWorkFolder(folder);
  try {
    const file = join(folder, 'importance.gguf');
    const { sequences, length } = calibration;
    await writeImportance(file, sums, { texts: [], sequences, length }, context);
    return await readImportance(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Two models to evaluate, and limits that the result must meet. */
interface Evaluating {
  readonly request: SizedRequest;
  readonly model: OpenedModel;
  readonly changed: OpenedModel;
  readonly text: string;
  readonly limits: readonly string[];
  readonly result: PruneResult;
}

/** Evaluates the written model against the original. A model that can't be evaluated stays, with a warning. */
async function evaluate(
  { request, model, changed, text, limits, result }: Evaluating,
  context: OperationContext<SensitivityEvent>,
): Promise<Pick<FittedModel, 'evaluation' | 'unevaluated' | 'verdict'>> {
  const options = runOptions(request);
  const reasons: Message[] = [];
  const inner = { ...context, emit: () => undefined };
  const attempt = async <T>(measure: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await measure();
    } catch (error) {
      if (error instanceof CancelledError || !(error instanceof UserError)) {
        throw error;
      }
      context.warn(say`Wrote ${basename(result.path)}, but it was not evaluated: ${error.problem}`);
      reasons.push(error.problem);
      return undefined;
    }
  };
  const { version } = context.environment;
  const place = async (): Promise<string> => evaluationJournal.prepare(undefined, model.path);
  const evaluation = await attempt(async () =>
    resumable({ place, out: undefined, version }, inner, async (saved) => {
      const result = await evaluateModels(
        {
          ...{ model: changed, removed: [], against: model, text, saved },
          needsAgreement: asksFor(limits, 'agreement'),
          ...options,
        },
        inner,
      );
      const { memoryBytes } = options;
      return addLlamaSpeeds(result, { model: changed, against: model, memoryBytes }, inner);
    }),
  );
  const [unevaluated] = reasons;
  const found = {
    ...(evaluation === undefined ? {} : { evaluation }),
    ...(unevaluated === undefined ? {} : { unevaluated }),
  };
  if (limits.length === 0) {
    return found;
  }
  const speed = asksFor(limits, 'speed')
    ? await attempt(async () => compareSpeed({ original: model, changed, ...options }, inner))
    : undefined;
  const tokens = memoryContext(model.summary);
  const verdict = judge(limits, {
    perplexityRatio: evaluation?.perplexityRatio,
    agreement: evaluation?.agreement,
    speedRatio: speed && meanFactor(speed.ratios),
    size: result.bytesAfter / result.bytesBefore,
    memory: memoryAt(changed.summary, tokens) / memoryAt(model.summary, tokens),
    parameters: result.parametersAfter / result.parametersBefore,
  });
  return {
    ...found,
    verdict:
      speed === undefined
        ? verdict
        : { ...verdict, speed: { before: speed.before, after: speed.after } },
  };
}

/** Context without progress and warnings. */
const quiet = (context: OperationContext<SensitivityEvent>): OperationContext<unknown> => ({
  ...context,
  progress: () => undefined,
  warn: () => undefined,
  emit: () => undefined,
});
