import { join } from 'node:path';
import * as v from 'valibot';
import { evaluateModels, judgeModels } from '../evaluate/evaluate-models';
import type { TaskEvaluation, DomainText, ModelsRequest } from '../evaluate/evaluate-models';
import { defaultBaseLength, evaluateWithBase, saveBase } from '../evaluate/evaluate-base';
import type { BaseEvaluation, EvaluationResult } from '../evaluate/evaluation';
import { addLlamaSpeeds } from '../evaluate/llama-speed';
import { asksFor, judge } from '../evaluate/requirements';
import type { Verdict } from '../evaluate/requirements';
import { defaultWindowLength, defaultWindows } from '../evaluate/perplexity';
import { resumable } from '../jobs/saved-parts';
import { writeDocument } from '../jobs/write-document';
import { resolvePatches } from '../pipelines/patching/planned-patches';
import { withPrunedWidths } from '../pipelines/apply-plan';
import type { Plan } from '../plans/plan';
import { requireMadeFor } from '../plans/plan-schema';
import type { OpenModel } from '../models/model-cache';
import type { OpenedModel } from '../models/opened-model';
import { describeOrigin } from '../runtime/origin';
import type { Origin } from '../runtime/origin';
import { UserError } from '../user-error';
import { flag, integer, newFile, path } from './fields';
import type { RequestOf } from './fields';
import {
  requirementsField,
  heldOutText,
  keepsLimits,
  shotsFields,
  shotsRequest,
  shotsRules,
  verdictSchema,
  wholeTextField,
} from './requirement-fields';
import { operationJournal } from './journals';
import type { OperationJournal } from './journals';
import { defineOperation } from './operation';
import type { Environment, OperationContext } from './operation';
import { planField, readPlan } from './read-plan';
import type { NamedPlan } from './read-plan';
import { anyOf, needs, replaces } from './rules';
import { optionalModelField, runFields, runOptions, sampleText } from './shared-fields';
import { roughTokens, wholeModel } from './text-work';
import { runWork } from './work';
import { inEnglish, say } from '../message';
import type { Message } from '../message';
import { evaluationOutcome } from './evaluation-outcome';

/** Measurements, and the verdict on the request's limits. */
export type Evaluated = Measured &
  Origin & {
    readonly format: 'espalier.evaluation';
    readonly version: 1;
    readonly evaluated: EvaluatedModel;
    readonly other?: EvaluatedModel;
    /** Number of removed sublayers. */
    readonly removed: number;
    /** The held-out text that was read. */
    readonly text?: string;
    readonly verdict?: Verdict;
    /** Warnings about the measurement, in English. */
    readonly warnings?: readonly string[];
  };

/** A model of an evaluation. */
interface EvaluatedModel {
  readonly name: string;
  readonly path: string;
}

const intervalSchema = v.looseObject({ value: v.number(), low: v.number(), high: v.number() });

const measured = v.looseObject({
  perplexity: v.optional(v.number()),
  tokens: v.optional(v.number()),
  tokensPerSecond: v.optional(v.number()),
});

/** Texts that come with Espalier, by domain; samples/README.md names their sources and licenses. */
const files = {
  prose: heldOutText,
  code: 'domains/code.txt',
  dialogue: 'domains/dialogue.txt',
  'non-Latin scripts': 'domains/non-latin.txt',
} as const;

/** @param samples folder of the texts */
const domainTexts = (samples: string): readonly DomainText[] =>
  Object.entries(files).map(([domain, file]) => ({ domain, file: join(samples, file) }));

const fields = {
  model: optionalModelField,
  plan: {
    ...planField,
    description: 'Evaluate the model with the changes of a plan (*.plan.json)',
  },
  against: path({
    description: 'Second model to compare with: perplexity, KL divergence and top-1 agreement',
    placeholder: 'MODEL2',
  }),
  text: path({
    description:
      'Held-out text (.txt, .md, .jsonl), or recordings with transcripts (folder, .jsonl)',
    fallback: sampleText,
    setting: 'evaluation.file',
  }),
  domains: flag({
    description:
      'Measure prose, code, dialogue and non-Latin scripts separately, on texts that come with Espalier',
    default: false,
  }),
  wholeText: wholeTextField,
  length: integer({
    description: "Length of a window, at most the model's context",
    fallback: `${defaultWindowLength}, with --save-base ${defaultBaseLength}`,
    placeholder: 'L',
    unit: 'tokens',
    min: 2,
  }),
  stride: integer({
    description: 'New tokens in each window',
    fallback: 'the length: windows do not overlap',
    unit: 'tokens',
    min: 1,
  }),
  base: path({
    description:
      'Compare with log-probabilities in a file, of --save-base or llama-perplexity --kl-divergence-base, instead of a second model',
    placeholder: 'FILE',
  }),
  saveBase: newFile('baseProbabilities', {
    description:
      'Save log-probabilities of the model to a file, for --base or llama-perplexity --kl-divergence',
  }),
  task: path({ description: 'Measure the accuracy on a task (.jsonl) instead of perplexity' }),
  ...shotsFields,
  require: requirementsField,
  out: newFile('evaluation', {
    description: 'File for the result (*.evaluation.json), for a report',
  }),
  ...runFields,
};

type EvaluateRequest = RequestOf<typeof fields>;

export const evaluate = defineOperation({
  id: 'evaluate',
  title: 'Evaluate Model',
  verb: 'Evaluating',
  summary: 'Measure perplexity and speed on held-out text, or the accuracy on a task.',
  group: 'measure',
  fields,
  rules: [
    anyOf('model', 'plan'),
    replaces(
      'task',
      ['text', 'domains', 'wholeText', 'length', 'stride', 'base', 'saveBase'],
      say`a task has its own texts`,
    ),
    replaces('domains', ['text', 'stride'], say`the domains have their own texts`),
    replaces(
      'base',
      ['against', 'text', 'domains', 'wholeText', 'length', 'stride', 'saveBase'],
      say`the file contains the text and what is compared`,
    ),
    replaces('saveBase', ['against', 'domains', 'stride', 'require'], say`only one model is saved`),
    needs('stride', 'wholeText'),
    ...shotsRules,
    needs('require', 'against', 'base'),
  ],
  result: v.looseObject({
    ...measured.entries,
    against: v.optional(measured),
    klDivergence: v.optional(intervalSchema),
    agreement: v.optional(intervalSchema),
    verdict: v.optional(verdictSchema),
  }),
  trust: 'run',
  requires: () => ({ model: 'evaluate', against: 'evaluate' }),
  resume: (request) => textOrTaskJournal(request).path(request.out, journaled(request)),
  passes: keepsLimits,
  // Counted: every token in as many windows as hold it, for each model, the second as large as the first.
  work: async (request, { open, samples }) => {
    const { task, plan, length = defaultWindowLength, stride = length, against } = request;
    const all = roughTokens(request.text ?? join(samples, heldOutText));
    if (task !== undefined || request.base !== undefined || all === undefined) {
      return undefined;
    }
    const tokens = request.wholeText ? all : Math.min(all, defaultWindows * length);
    const models = against === undefined ? 1 : 2;
    const path = plan === undefined ? request.model : (await readPlan(plan, request.model)).model;
    const model = await open(path ?? '');
    const runs = wholeModel((tokens * models * length) / stride, model.summary, length);
    return runWork(model, runs, models, length, stride);
  },
  run: async (request, given): Promise<Evaluated> => {
    const { task, base, domains, out } = request;
    requireMeasured(request.require ?? [], task);
    const { context, warnings } = collectWarnings(given);
    const { version } = context.environment;
    const { opened, plan, changes } = await openModels(request, context.environment);
    const place = async (): Promise<string> =>
      textOrTaskJournal(request).prepare(out, journaled(request));
    return resumable({ place, out, version }, context, async (saved) => {
      const result: Evaluated = {
        format: 'espalier.evaluation',
        version: 1,
        evaluated: evaluatedModel(opened),
        ...(changes.against === undefined ? {} : { other: evaluatedModel(changes.against) }),
        removed: changes.removed.length,
        ...(task === undefined && base === undefined && !domains
          ? { text: textFile(request, context.environment) }
          : {}),
        ...(await withPrunedWidths(opened, plan, undefined, async (model) => {
          const isWhole = changes.removed.length === 0 && model === opened;
          return measure(request, { ...changes, model, saved }, isWhole, context);
        })),
        ...(warnings.length === 0 ? {} : { warnings }),
        ...describeOrigin(version),
      };
      if (out !== undefined) {
        await writeDocument(out, result);
      }
      return result;
    });
  },
  presentation: {
    panel: 'heatmap',
    jobName: say`Evaluation`,
    original: 'against',
    updates: (result, { base, saveBase, domains, plan, against, text }) =>
      // Perplexities of other texts than a held-out one don't compare with those in the heatmap.
      'task' in result || base !== undefined || saveBase !== undefined || domains
        ? []
        : [{ kind: 'evaluation', result: result as EvaluationResult, plan, against, text }],
    report: 'evaluated',
    outcome: (result, job) => evaluationOutcome(result, job),
    nextSteps: ({ against }) =>
      against === undefined
        ? ['playground', 'makeSmaller', 'openHeatmap']
        : ['playground', 'makeSmaller', 'compare', 'openHeatmap'],
    reportedBy: ['model', 'against', 'task'],
  },
});

type Measured = EvaluationResult | BaseEvaluation | TaskEvaluation;

/** Context that also collects the warnings, in English. */
function collectWarnings(given: OperationContext): {
  readonly context: OperationContext;
  readonly warnings: readonly string[];
} {
  const warnings: string[] = [];
  const warn = (message: Message): void => {
    warnings.push(inEnglish(message));
    given.warn(message);
  };
  return { context: { ...given, warn }, warnings };
}

/** Held-out text of a request. */
const textFile = ({ text }: EvaluateRequest, { samples }: Environment): string =>
  text ?? join(samples, heldOutText);

/** Opens the models of a request, and reads the changes of its plan. */
async function openModels(
  request: EvaluateRequest,
  { open }: Environment,
): Promise<{
  readonly opened: OpenedModel;
  readonly plan: Pick<Plan, 'widths' | 'remove' | 'patch'>;
  readonly changes: Omit<ModelsRequest, 'model' | 'saved'>;
}> {
  const { plan: given, model = '', against } = request;
  const planned =
    given === undefined ? undefined : await planToRun(await readPlan(given, request.model), open);
  return {
    opened: await open(planned?.model ?? model),
    plan: planned?.plan ?? { remove: [] },
    changes: {
      removed: planned?.plan.remove ?? [],
      patch:
        planned === undefined ? [] : resolvePatches(planned.plan, join(planned.folder, 'plan')),
      ...(against === undefined ? {} : { against: await open(against) }),
      ...runOptions(request),
    },
  };
}

/**
 * Measures what the request asks for, and judges its limits.
 * @param isWhole true if nothing is removed from the model
 */
async function measure(
  request: EvaluateRequest,
  models: ModelsRequest,
  isWhole: boolean,
  context: OperationContext,
): Promise<Measured & { readonly verdict?: Verdict }> {
  const { task, base, saveBase: file, wholeText: whole, require: limits } = request;
  if (task !== undefined) {
    const result = await judgeModels({ ...models, task, ...shotsRequest(request) }, context);
    const { compared } = result;
    return limits === undefined || compared === undefined
      ? result
      : { ...result, verdict: judge(limits, { task: compared }) };
  }
  if (file !== undefined) {
    const text = textFile(request, context.environment);
    const chunks = request.length === undefined ? {} : { length: request.length };
    return saveBase({ ...models, base: file, text, whole, ...chunks }, context);
  }
  const result = await (base === undefined
    ? measureText(request, models, isWhole, context)
    : evaluateWithBase({ ...models, base }, context));
  const { perplexityRatio, agreement } = result;
  return limits === undefined
    ? result
    : { ...result, verdict: judge(limits, { perplexityRatio, agreement }) };
}

/** Measures perplexity and speed on held-out text. */
async function measureText(
  request: EvaluateRequest,
  models: ModelsRequest,
  isWhole: boolean,
  context: OperationContext,
): Promise<EvaluationResult> {
  const { domains, wholeText: whole, length, stride, require: limits = [] } = request;
  const { environment } = context;
  const result = await evaluateModels(
    {
      ...models,
      text: domains ? domainTexts(environment.samples) : textFile(request, environment),
      whole,
      needsAgreement: asksFor(limits, 'agreement'),
      ...(length === undefined ? {} : { length }),
      ...(stride === undefined ? {} : { stride }),
    },
    context,
  );
  const { model, against, memoryBytes } = models;
  return addLlamaSpeeds(
    result,
    { model: isWhole ? model : undefined, against, memoryBytes },
    context,
  );
}

// Separate journals: evaluating a text keeps the progress of a task.
const journals = { text: operationJournal('evaluate'), task: operationJournal('task') };

const textOrTaskJournal = ({ task }: { readonly task?: string }): OperationJournal =>
  task === undefined ? journals.text : journals.task;

/** Path of the model or plan that the journal is named for. */
const journaled = ({
  model,
  plan = '',
}: {
  readonly model?: string;
  readonly plan?: string | Plan;
}): string => model ?? (typeof plan === 'string' ? plan : plan.model.path);

const evaluatedModel = ({ summary: { name, path } }: OpenedModel): EvaluatedModel => ({
  name,
  path,
});

/** @throws UserError if a limit is about something that this evaluation doesn't measure */
function requireMeasured(limits: readonly string[], task: string | undefined): void {
  const measures =
    task === undefined ? (['perplexity', 'agreement'] as const) : (['task'] as const);
  const other = limits.find((limit) => !measures.some((measure) => asksFor([limit], measure)));
  if (other !== undefined) {
    throw new UserError('limit-not-measured', say`The limit ${other} is not measured here.`, {
      field: 'require',
      remedy: say`Use only limits of ${measures.join(', ')}. Commands that write a model take the others.`,
    });
  }
}

/** @throws UserError if the plan is for another model, or compresses */
export async function planToRun(planned: NamedPlan, open: OpenModel): Promise<NamedPlan> {
  const place = planned.file === undefined ? {} : { file: planned.file };
  requireMadeFor(planned.plan, (await open(planned.model)).summary, {
    ...place,
    remedy: say`Profile this model again, or delete the field to evaluate the plan anyway.`,
  });
  const field = (['compress', 'types'] as const).find(
    (one) => Object.keys(planned.plan[one] ?? {}).length > 0,
  );
  if (field !== undefined) {
    throw new UserError(
      'plan-not-applied',
      say`A plan that compresses layers can only be evaluated after it is applied.`,
      {
        ...place,
        field,
        remedy:
          field === 'types'
            ? say`Write the model with \`espalier compress --plan --format gguf\`, then evaluate that.`
            : say`Write the model with \`espalier compress --plan\`, then evaluate that.`,
      },
    );
  }
  return planned;
}
