import { rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import * as v from 'valibot';
import { memoryContext } from '../change-size';
import { defaultCalibration, sensitivityCalibration } from '../data/calibration-defaults';
import { loadModelInputs } from '../data/model-inputs';
import { defaultDocumentPath } from '../document-names';
import { evaluateModels } from '../evaluate/evaluate-models';
import type { EvaluationResult } from '../evaluate/evaluation';
import { addLlamaSpeeds } from '../evaluate/llama-speed';
import { asksFor, judge } from '../evaluate/gate';
import type { Verdict } from '../evaluate/gate';
import { meanFactor } from '../evaluate/paired';
import type { Importance } from '../export/gguf/importance';
import { readImportance, writeImportance } from '../export/gguf/importance';
import { inputSums } from '../export/gguf/input-sums';
import { compareSpeed } from '../generate/compare-speed';
import { formatBytes, formatDuration } from '../format';
import { makeWorkFolder } from '../jobs/make-work-folder';
import { CancelledError } from '../jobs/job';
import { Phases } from '../jobs/phases';
import { resumable } from '../jobs/saved-parts';
import { workFolder } from '../jobs/work-folder';
import { writeDocument } from '../jobs/write-document';
import { say } from '../message';
import type { OpenedModel } from '../models/opened-model';
import { memoryAt } from '../models/model-summary';
import { applyPlan } from '../pipelines/apply-plan';
import type { PlanApplication } from '../pipelines/apply-plan';
import type { PruneResult } from '../pipelines/prune-result';
import { runtimeNames, runtimeOutput } from '../pipelines/runtimes';
import type { Runtime } from '../pipelines/runtimes';
import {
  targetBytes,
  encodingChoices,
  leastBytes,
  namesType,
  parseSize,
  plannedLimit,
  quantizedType,
  sizeForm,
  weightBytes,
} from '../pipelines/size-choices';
import type { TargetSize } from '../pipelines/size-choices';
import { planFor, plannedChanges } from '../plans/plan';
import type { Plan } from '../plans/plan';
import { resolveDevice } from '../runtime/devices';
import { estimateUnmeasured } from '../tensornet/sensitivity/estimate-unmeasured';
import type {
  SensitivityEvent,
  SensitivityProfile,
} from '../tensornet/sensitivity/sensitivity-profile';
import { typeMixNames } from '../export/gguf/type-mixes';
import { UserError } from '../user-error';
import { keepPlan } from './apply-plan';
import { journalsOfPlan, planByBudget } from './budget-fields';
import { compressionFields, compressionSettings } from './compression-fields';
import { choice, flag, formed, group, path } from './fields';
import type { RequestOf } from './fields';
import { gateField, heldOutText, keepsLimits, verdictSchema } from './gate-fields';
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
  calibrationFields,
  calibrationNames,
  calibrationOf,
  calibrationRules,
  modelField,
  runFields,
  runOptions,
} from './shared-fields';
import { chosenRuntime, expectedPhases, fitWork, mixRequest, offerSizes } from './size-choices';
import type { FitPhase, OfferedSizes } from './size-choices';
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

/** A smaller model that was written, reopened and evaluated. */
export interface FittedModel extends PruneResult {
  /** Model to open: the written file, or the folder. */
  readonly model: string;
  readonly runtime: Runtime;
  readonly size: string;
  /** Quantization type of most of the original's weights, which were quantized again; absent if they were floats. */
  readonly requantized?: string;
  /** Bytes of weights, keys and values at a context. */
  readonly memory: { readonly context: number; readonly before: number; readonly after: number };
  /** Bytes of tensors by their type. */
  readonly types: Readonly<Record<string, number>>;
  readonly mix?: PlannedMix;
  /** On held-out text, against the original; absent if that can't be measured. */
  readonly evaluation?: EvaluationResult;
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

const measuringOnly = (name: NameOf): Message =>
  say`${name('time')} and calibration apply only if ${name('size')} is a percentage or an amount: a type is not measured first.`;

/** A named type is written without measuring. */
const measuringRule: Rule = {
  describe: measuringOnly,
  check: (given) => {
    const idle = ['time', ...calibrationNames].filter((key) => given[key] !== undefined);
    return typeof given['size'] === 'string' && namesType(given['size']) && idle.length > 0
      ? { fields: idle, problem: measuringOnly }
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
  for: choice(runtimeNames, {
    description: 'Program that will run it',
    fallback: 'llama.cpp for GGUF, onnxruntime for ONNX, transformers for folders',
    placeholder: 'PROGRAM',
  }),
  ...group('Output', {
    out: path({ description: 'New folder to write', placeholder: 'DIR' }),
    overwrite: flag({
      description: 'Replace a folder in which Espalier wrote every file',
      default: false,
    }),
  }),
  ...group('Measuring', {
    time: formed(timeForm, {
      description: 'Time that measuring takes at most; the result uses what is measured by then',
      fallback: 'no limit',
      placeholder: 'TIME',
    }),
    text: path({
      description: 'Held-out text that both models are evaluated on (.txt, .md, .jsonl)',
      fallback: 'the text that comes with Espalier',
      setting: 'evaluation.file',
    }),
    require: gateField,
  }),
  ...calibrationFields(sensitivityCalibration),
  ...runFields,
};

type FitRequest = RequestOf<typeof fields>;
type SizedRequest = FitRequest & { readonly size: string; readonly out: string };

const fitJournal = operationJournal('fit');
const evaluationJournal = operationJournal('fit-evaluation');

export const fitModel = defineOperation({
  id: 'fit',
  title: 'Make Model Smaller',
  verb: 'Shrinking',
  summary:
    'Make a model smaller with the least loss: quantize it to a size or type, check and evaluate it. Lists sizes if none is given.',
  fields,
  rules: [
    needs('size', 'out'),
    allNeed(
      ['out', 'overwrite', 'time', 'text', 'require', ...calibrationNames, 'device', 'memory'],
      'size',
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
  writesBeside: ['plan', 'sensitivity'],
  passes: (result: FitResult) => !isFitted(result) || keepsLimits(result),
  resume: ({ model, size, out }) =>
    size === undefined || out === undefined
      ? []
      : [
          evaluationJournal.path(undefined, model),
          fitJournal.path(undefined, model),
          workFolder(out, 'compress'),
          ...(namesType(size) ? [] : journalsOfPlan(model, undefined)),
        ],
  work: async ({ model: given, size, for: asked }, { open }) => {
    if (size === undefined) {
      return undefined;
    }
    const model = await open(given);
    return fitWork(model, await chosenRuntime(model, asked), size);
  },
  run: async (request, context: OperationContext<SensitivityEvent>): Promise<FitResult> => {
    const model = await context.environment.open(request.model);
    const { size, out } = request;
    return size === undefined || out === undefined
      ? offerSizes(model, request.for, context.environment, quiet(context))
      : fit({ ...request, size, out }, model, context);
  },
  presentation: {
    opens: 'folder',
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
  const { size, out, time, require: limits = [] } = request;
  if (asksFor(limits, 'task')) {
    throw new UserError(say`A task is not measured here.`, {
      field: 'require',
      remedy: say`Leave the limit out, and measure the task with \`espalier evaluate --task\` afterwards.`,
    });
  }
  const runtime = await chosenRuntime(model, request.for);
  const target = await reachableTarget(model, runtime, size, quiet(context));
  const text = request.text ?? join(context.environment.samples, heldOutText);
  const measureLimit = time === undefined ? undefined : parseTime(time);
  const phases = new Phases<FitPhase>(
    expectedPhases(model, runtime, {
      isMix: target.kind === 'limit',
      ...(measureLimit === undefined ? {} : { measureLimit }),
    }),
    (progress) => {
      context.progress(progress);
    },
  );
  const { version } = context.environment;
  const place = async (): Promise<string> => fitJournal.prepare(undefined, model.path);
  return resumable({ place, out: undefined, version }, context, async (saved) => {
    const calibration = Object.fromEntries(calibrationNames.map((key) => [key, request[key]]));
    await saved.bind([model.summary.fingerprint, runtime, size, resolve(out), calibration]);
    const part = saved.part('written', writtenSchema);
    const [known] = part.values;
    let written = known !== undefined && (await isThere(known.result)) ? known : undefined;
    if (written === undefined) {
      const job = {
        request,
        model,
        runtime,
        phases,
        ...(measureLimit === undefined ? {} : { measureLimit }),
      };
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
    const { evaluation, verdict } = await phases.run('evaluate', context, async (inner) =>
      evaluate(
        { request, model, changed, text, limits, result },
        { ...inner, environment: context.environment },
      ),
    );
    const tokens = memoryContext(model.summary);
    const requantized = quantizedType(model.summary);
    if (evaluation?.perplexityRatio !== undefined) {
      await rememberLoss(
        model.summary.fingerprint,
        { runtime, size },
        {
          perplexityRatio: evaluation.perplexityRatio.value,
          ...(evaluation.klDivergence === undefined
            ? {}
            : { klDivergence: evaluation.klDivergence.value }),
        },
      ).catch(() => undefined);
    }
    return {
      ...result,
      ...{ model: path, runtime, size },
      ...(requantized === undefined ? {} : { requantized }),
      memory: {
        context: tokens,
        before: memoryAt(model.summary, tokens),
        after: memoryAt(changed.summary, tokens),
      },
      types: changed.summary.dtypes,
      ...documents,
      ...(evaluation === undefined ? {} : { evaluation }),
      ...(verdict === undefined ? {} : { verdict }),
      commands: runCommands(runtime, path, tokens),
    };
  });
}

/** Journal entry of a model that was written but not evaluated. */
interface Written extends Pick<FittedModel, 'mix' | 'plan' | 'sensitivity'> {
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
  size: string,
  context: OperationContext<unknown>,
): Promise<TargetSize> {
  const output = await runtimeOutput(model, runtime);
  const bytes = await weightBytes(model);
  const target = parseSize(size, bytes, runtime);
  if (target.kind !== 'limit') {
    const after = await targetBytes(model, output, target, context);
    if (after >= bytes) {
      throw new UserError(
        say`${size} would take ${formatBytes(after)}, and the model takes ${formatBytes(bytes)}.`,
        {
          ...{ file: model.path, field: 'size' },
          remedy: say`Choose a smaller type: \`espalier fit\` without --size lists them.`,
        },
      );
    }
    return target;
  }
  const least = await leastBytes(model, output, runtime, context);
  if (least === undefined) {
    return largestType(model, runtime, target.bytes, context);
  }
  if (least > plannedLimit(model, runtime, target.bytes)) {
    throw unreachableSize(model, target.bytes, least);
  }
  return target;
}

/**
 * The largest named type below a limit, for models whose tensors can't get types of their own.
 * @throws UserError if there is none.
 */
async function largestType(
  model: OpenedModel,
  runtime: Runtime,
  limit: number,
  context: OperationContext<unknown>,
): Promise<TargetSize> {
  const output = await runtimeOutput(model, runtime);
  if (runtime !== 'llama.cpp') {
    throw new UserError(say`The model has no weights that can be quantized.`, {
      ...{ file: model.path, field: 'for' },
      remedy: say`Choose llama.cpp, or remove layers with \`espalier prune\`.`,
    });
  }
  const sizes: { readonly target: TargetSize; readonly bytes: number }[] = [];
  for (const type of typeMixNames) {
    const target = { kind: 'type', type } as const;
    sizes.push({ target, bytes: await targetBytes(model, output, target, context) });
  }
  const [best] = sizes.filter(({ bytes }) => bytes <= limit).sort((a, b) => b.bytes - a.bytes);
  if (best === undefined) {
    throw unreachableSize(model, limit, Math.min(...sizes.map(({ bytes }) => bytes)));
  }
  return best.target;
}

const unreachableSize = ({ path: file }: OpenedModel, limit: number, least: number): UserError =>
  new UserError(
    say`Quantization leaves at least ${formatBytes(least)}, above the size of ${formatBytes(limit)}.`,
    {
      ...{ file, field: 'size' },
      remedy: say`Choose a larger size, or remove blocks, experts or channels first (\`espalier profile\`, \`espalier prune\`), which usually costs more quality per byte than quantization.`,
    },
  );

/** A job after its size is known. */
interface FitJob {
  readonly request: SizedRequest;
  readonly model: OpenedModel;
  readonly runtime: Runtime;
  readonly phases: Phases<FitPhase>;
  readonly measureLimit?: number;
}

/** Measures and plans if the size asks for it, then writes and reopens the model. */
async function write(
  job: FitJob,
  target: TargetSize,
  context: OperationContext<SensitivityEvent>,
): Promise<Written> {
  const { request, model, runtime, phases } = job;
  const { out, overwrite } = request;
  const { option } = await runtimeOutput(model, runtime);
  const origin = { path: resolve(model.path), fingerprint: model.summary.fingerprint };
  const mixed = target.kind === 'limit' ? await planMix(job, target.bytes, context) : undefined;
  const plan: Plan =
    mixed?.plan ??
    planFor(
      origin,
      target.kind === 'encoding' ? { compress: encodingChoices(model, target.encoding) } : {},
    );
  const compress = plan.compress ?? [];
  const types = {
    ...(target.kind === 'type' ? { mix: target.type } : {}),
    ...(mixed?.importance === undefined ? {} : { importance: mixed.importance }),
  };
  const application: PlanApplication = {
    ...{ model, plan, out, overwrite, format: option.format },
    ...(Object.keys(types).length === 0 ? {} : { types }),
    ...runOptions(request),
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
    return { result };
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
    ...(planFile === undefined ? {} : { plan: planFile }),
    ...(sensitivity === undefined ? {} : { sensitivity }),
  };
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

/** Measures each tensor in each type, and plans the best mix below a limit. */
async function planMix(
  { request, model, runtime, phases, measureLimit }: FitJob,
  limit: number,
  context: OperationContext<SensitivityEvent>,
): Promise<MixedPlan> {
  const { environment } = context;
  const asked = mixRequest(model, runtime, {
    ...request,
    ...(measureLimit === undefined ? {} : { deadline: performance.now() + 1000 * measureLimit }),
  });
  const table = await phases.run('measure', context, async (inner) =>
    measureSensitivity(asked, undefined, { ...inner, environment }, true),
  );
  const { table: complete, measured } = estimateUnmeasured(table);
  const layers = table.layers.length;
  if (measured < layers) {
    if (measured === 0) {
      throw new UserError(say`No layer was measured in ${request.time ?? ''}.`, {
        field: 'time',
        remedy: say`Give it more time, or choose a type such as Q4_K_M, which is not measured.`,
      });
    }
    context.warn(
      say`${measured} of ${layers} linear layers were measured in ${formatDuration(measureLimit ?? 0)}. The others are estimated from layers of the same shape.`,
    );
  }
  const folder = await ownFolder(await sensitivityJournal.prepare(undefined, model.path), 'fit');
  const plan = await phases.run('plan', context, async (inner) =>
    planByBudget(
      {
        ...asked,
        ...{ measured: complete, takesTypes: runtime === 'llama.cpp' },
        limits: [`bytes<${plannedLimit(model, runtime, limit)}`],
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

/** Importance matrix of the model on the calibration text. */
async function measureImportance(
  request: SizedRequest,
  model: OpenedModel,
  context: OperationContext<SensitivityEvent>,
): Promise<Importance> {
  const { samples } = context.environment;
  const { device, memoryBytes } = runOptions(request);
  const calibration = calibrationOf(request, defaultCalibration, model.summary.maxPositions);
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
): Promise<Pick<FittedModel, 'evaluation' | 'verdict'>> {
  const options = runOptions(request);
  const inner = { ...context, emit: () => undefined };
  const attempt = async <T>(measure: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await measure();
    } catch (error) {
      if (error instanceof CancelledError || !(error instanceof UserError)) {
        throw error;
      }
      context.warn(say`${basename(result.path)} is written, but not evaluated: ${error.problem}`);
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
  const found = evaluation === undefined ? {} : { evaluation };
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

/** Without progress and warnings. */
const quiet = (context: OperationContext<SensitivityEvent>): OperationContext<unknown> => ({
  ...context,
  progress: () => undefined,
  warn: () => undefined,
  emit: () => undefined,
});
