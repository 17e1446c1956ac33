import { withChanges } from '../export/changes';
import { readRemoval } from '../pipelines/patching/planned-patches';
import type { PlannedPatch } from '../plans/plan';
import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import { predictedIds } from '../models/example';
import { requireAble } from '../models/capability';
import type { ModelInput } from '../models/model-input';
import type { OpenedModel } from '../models/opened-model';
import { RemovableUnits } from '../models/units';
import { requireExperts } from '../prune/candidates';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { LayeredExecutor } from '../runtime/layered-executor';
import { requireMemory } from '../runtime/memory-shares';
import { UserError } from '../user-error';
import type { EvaluationResult } from './evaluation';
import { compareAnswers, comparePerplexity } from './paired';
import type { AnswersCompared } from './paired';
import { isReadWhole, readHeldOut, readWholeText, warnHalves } from './held-out';
import type { HeldOut } from './held-out';
import { defaultWindowLength, evaluatePerplexity } from './perplexity';
import { answerTask } from './answer-task';
import type { TaskResult } from './task-accuracy';
import { readTask } from '../data/tasks/task-file';
import type { ShotsRequest } from '../data/tasks/task-file';
import { say } from '../message';

/** Which models to evaluate, and where. */
export interface ModelsRequest {
  readonly model: OpenedModel;
  /** Ids of sublayers and experts of `model` to leave out, or of whole blocks. */
  readonly removed: readonly string[];
  /** Patches that stand in the places of sublayers, which may be named among the removed; none when absent. */
  readonly patch?: readonly PlannedPatch[];
  /** A second model, evaluated whole on the same; may be `model` itself. */
  readonly against?: OpenedModel;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** What to evaluate, on what. */
export interface EvaluationRequest extends ModelsRequest {
  /** Held-out text: a .txt, .md or .jsonl file. */
  readonly text: string;
  /** Whether all of it is read; some windows from all over it when absent. */
  readonly whole?: boolean;
  /** Tokens per window. */
  readonly length?: number;
  /** Tokens that each window predicts anew; windows do not overlap when absent. */
  readonly stride?: number;
}

/** What to judge by a task. */
export interface TaskRequest extends ModelsRequest, ShotsRequest {
  /** A JSONL file of examples. */
  readonly task: string;
}

/** What a model scores on a task, and how that compares with another model, example by example. */
export interface TaskEvaluation extends TaskResult {
  readonly against?: TaskResult;
  readonly compared?: AnswersCompared;
}

/** @throws UserError where windows are asked of a text of pairs. */
async function requireWindows(
  { text, ...request }: EvaluationRequest,
  model: LayeredModel,
): Promise<void> {
  const field = (['length', 'stride'] as const).find((one) => request[one] !== undefined);
  if (field !== undefined && (await isReadWhole(text, model))) {
    throw new UserError(
      say`Pairs of source and target, or recordings, are read whole, one by one.`,
      {
        field,
        remedy: say`Leave it out, or give a text.`,
      },
    );
  }
}

/** Perplexity and throughput of one model, or of two on the same windows of text. */
export async function evaluateModels(
  request: EvaluationRequest,
  context: JobContext,
): Promise<EvaluationResult> {
  const known = new Map<LayeredModel, HeldOut>();
  const [own, other] = await runModels(request, context, {
    prepare: async (models) => {
      const { text, whole = false } = request;
      const positions = models.map(({ summary }) => summary.maxPositions ?? Infinity);
      const length = Math.min(request.length ?? defaultWindowLength, ...positions);
      for (const model of models) {
        await requireWindows(request, model);
        known.set(model, await (whole ? readWholeText : readHeldOut)(text, model, length));
      }
      await warnHalves(text, models, context);
      const [first, second] = models;
      if (first !== undefined && second !== undefined && !areEqual([...known.values()])) {
        context.warn(
          say`${first.summary.name} and ${second.summary.name} tokenize the text differently, so their perplexities can't be compared.`,
        );
      }
      return length;
    },
    run: async (executor, removed, length) => {
      const { stride } = request;
      const ids = known.get(executor.model) ?? [];
      const options = { length, removed, ...(stride === undefined ? {} : { stride }) };
      return evaluatePerplexity(executor, ids, options, context);
    },
  });
  const { losses, ...evaluation } = own;
  if (other === undefined) {
    return evaluation;
  }
  const { losses: original, ...against } = other;
  const perplexityRatio = areEqual([...known.values()])
    ? comparePerplexity(original, losses)
    : undefined;
  return { ...evaluation, against, ...(perplexityRatio === undefined ? {} : { perplexityRatio }) };
}

/** What one model, or two, score on a task. */
export async function judgeModels(
  request: TaskRequest,
  context: JobContext,
): Promise<TaskEvaluation> {
  for (const { capabilities, path } of [request.model, request.against ?? request.model]) {
    requireAble(capabilities.readText, path);
  }
  const [own, other] = await runModels(request, context, {
    prepare: async () => readTask(request.task, request),
    run: async (executor, removed, task) =>
      answerTask(executor, removed, task, request.memoryBytes, context),
  });
  const { result } = own;
  if (other === undefined) {
    return result;
  }
  return { ...result, against: other.result, compared: compareAnswers(other.right, own.right) };
}

interface Work<Prepared, Result> {
  readonly prepare: (models: readonly LayeredModel[]) => Promise<Prepared>;
  readonly run: (
    executor: LayeredExecutor,
    removed: ReadonlySet<number>,
    prepared: Prepared,
  ) => Promise<Result>;
}

/** Opens the models, prepares what they share, and runs one after the other. */
async function runModels<Prepared, Result>(
  request: ModelsRequest,
  context: JobContext,
  { prepare, run }: Work<Prepared, Result>,
): Promise<readonly [own: Result, other: Result | undefined]> {
  for (const { capabilities, path } of [
    request.model,
    ...(request.against ? [request.against] : []),
  ]) {
    requireAble(capabilities.evaluate, path);
  }
  const { model, removed } = await asPlanned(request);
  const other = request.against?.model;
  const prepared = await prepare(other === undefined ? [model] : [model, other]);
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  const evaluate = async (evaluated: LayeredModel, gone: ReadonlySet<number>): Promise<Result> => {
    requireMemory(evaluated, request.memoryBytes, device);
    const executor = new LayeredExecutor(evaluated, device, request.memoryBytes);
    try {
      return await run(executor, gone, prepared);
    } finally {
      await executor.dispose();
    }
  };
  const own = await evaluate(model, removed);
  return [own, other === undefined ? undefined : await evaluate(other, new Set())];
}

/** A model with the patches of a request, and the units to leave out of it. */
export async function asPlanned({
  model: { model: original },
  removed: remove,
  patch = [],
}: Pick<ModelsRequest, 'model' | 'removed' | 'patch'>): Promise<{
  readonly model: LayeredModel;
  readonly removed: ReadonlySet<number>;
}> {
  const { removed: ids, patches } = await readRemoval({ remove, patch }, original, '', 'removed');
  const model = withChanges(original, { matrices: new Map(), patches });
  const units = new RemovableUnits(model.summary);
  const removed = new Set(ids.flatMap((id) => units.numberOf(id) ?? []));
  requireExperts(model.summary, removed, { field: 'removed' });
  return { model, removed };
}

/** Ids of a text, or of the transcript of a recording: models may hear it through other filters. */
const writtenIds = (input: ModelInput): Int32Array =>
  input instanceof Int32Array ? input : predictedIds({ inputs: [] }, input);

/** Whether two models read the same; one model compared with itself has one. */
function areEqual(texts: readonly HeldOut[]): boolean {
  const [a, b = a] = texts.map((text) => (text instanceof Int32Array ? [text] : text));
  return (
    a?.length === b?.length &&
    a?.every((input, i) => {
      const [ids, others] = [input, b?.[i]].map((one) => one && writtenIds(one));
      return ids?.length === others?.length && ids?.every((id, j) => id === others?.[j]);
    }) === true
  );
}
