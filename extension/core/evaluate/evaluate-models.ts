import { withChanges } from '../export/changes';
import { readRemoval } from '../pipelines/patching/planned-patches';
import type { PlannedPatch } from '../plans/plan';
import type { JobContext } from '../jobs/job';
import { nothingSaved } from '../jobs/saved-parts';
import type { SavedParts } from '../jobs/saved-parts';
import type { LayeredModel } from '../models/layered-model';
import { predictedIds } from '../models/example';
import { requireAble } from '../models/capability';
import type { ModelInput } from '../models/model-input';
import type { OpenedModel } from '../models/opened-model';
import { RemovableUnits } from '../models/units';
import { requireExperts } from '../prune/candidates';
import type { DeviceChoice, DeviceName } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { LayeredExecutor } from '../runtime/layered-executor';
import { divideIds } from '../runtime/windows';
import { leastMemory, requireMemory } from '../runtime/memory-shares';
import { UserError } from '../user-error';
import { comparePredictions } from './compared-tokens';
import type { ComparedWindow } from './compared-tokens';
import type { DomainEvaluation, Evaluation, EvaluationResult } from './evaluation';
import { compareAnswers, comparePerplexity } from './paired';
import type { AnswersCompared, Loss } from './paired';
import {
  fingerprintHeldOut,
  isReadWhole,
  readHeldOut,
  readWholeText,
  warnHalves,
} from './held-out';
import type { HeldOut } from './held-out';
import {
  defaultWindowLength,
  evaluatePerplexity,
  perplexityFrom,
  windowLossSchema,
} from './perplexity';
import type { MeasuredText } from './perplexity';
import { evaluateSideBySide, timedWindowSchema, VocabularyMismatch } from './side-by-side';
import { answerTask } from './answer-task';
import type { Answering } from './answer-task';
import type { TaskAnswers, TaskResult } from './task-accuracy';
import { readTask } from '../data/tasks/task-file';
import type { ShotsRequest } from '../data/tasks/task-file';
import { say } from '../message';
import type { Message } from '../message';
import { digestFile } from '../regular-file';

/** Models to evaluate, and the device. */
export interface ModelsRequest {
  readonly model: OpenedModel;
  /** Ids of sublayers and experts of `model` to leave out, or of whole blocks. */
  readonly removed: readonly string[];
  /** Patches that replace sublayers, which may also be listed as removed; none if absent. */
  readonly patch?: readonly PlannedPatch[];
  /** Second model, evaluated without removals on the same text; may be `model` itself. */
  readonly against?: OpenedModel;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  /** Store for intermediate results; nothing is saved if absent. */
  readonly saved?: SavedParts;
}

/** Text of one domain, such as prose or code. */
export interface DomainText {
  readonly domain: string;
  readonly file: string;
}

/** Models to evaluate, and the text. */
export interface EvaluationRequest extends ModelsRequest {
  /** Held-out text: a .txt, .md or .jsonl file; or several, each also measured separately. */
  readonly text: string | readonly DomainText[];
  /** True to evaluate the whole text; if absent, some windows spread over it. */
  readonly whole?: boolean;
  /** Tokens per window. */
  readonly length?: number;
  /** Number of new tokens that each window predicts; windows do not overlap if absent. */
  readonly stride?: number;
  /** True if a requirement concerns top-1 agreement, so that it must be measurable. */
  readonly needsAgreement?: boolean;
}

/** Models to evaluate on a task. */
export interface TaskRequest extends ModelsRequest, ShotsRequest {
  /** A JSONL file of examples. */
  readonly task: string;
}

/** Score of a model on a task, and an example-by-example comparison with another model. */
export interface TaskEvaluation extends TaskResult {
  readonly against?: TaskResult;
  readonly compared?: AnswersCompared;
}

/** @throws UserError if windows are asked of a text of pairs. */
async function requireWindows(
  request: EvaluationRequest,
  text: string,
  model: LayeredModel,
): Promise<void> {
  const field = (['length', 'stride'] as const).find((one) => request[one] !== undefined);
  if (field !== undefined && (await isReadWhole(text, model))) {
    throw new UserError(
      'windows-unsupported',
      say`Pairs of source and target, and recordings, are not cut into windows.`,
      { field, remedy: say`Leave it out, or choose a text.` },
    );
  }
}

/**
 * Measures perplexity and speed of one model, or of two on the same windows of text, and the agreement of their
 * predictions.
 */
export async function evaluateModels(
  request: EvaluationRequest,
  context: JobContext,
): Promise<EvaluationResult> {
  const [own, other] = await openModels(request);
  const { model } = own;
  const { text, stride, memoryBytes, saved = nothingSaved } = request;
  const models = other === undefined ? [model] : [model, other];
  const positions = models.map(({ summary }) => summary.maxPositions ?? Infinity);
  const length = Math.min(request.length ?? defaultWindowLength, ...positions);
  const { text: ids, domains } = await readTexts(request, model, length);
  const otherIds = other === undefined ? ids : (await readTexts(request, other, length)).text;
  for (const { file } of domainTexts(text)) {
    await warnHalves(file, models, context);
  }
  const device = await evaluationDevice(request, context);
  const options = { length, ...(stride === undefined ? {} : { stride }) };
  await saved.bind([
    await evaluationIdentity(request, device),
    options,
    [ids, otherIds].map(fingerprintHeldOut),
  ]);
  const changed = { model, removed: own.removed, text: ids };
  const original = { model: other ?? model, removed: new Set<number>(), text: otherIds };
  const evaluate = async (
    name: string,
    { removed, ...reader }: typeof changed,
  ): Promise<MeasuredText> =>
    withExecutor(reader.model, { memoryBytes, device }, async (executor) => {
      const part = saved.part(name, windowLossSchema);
      return evaluatePerplexity(
        executor,
        reader.text,
        { ...options, removed, saved: part },
        context,
      );
    });
  if (other === undefined) {
    const after = await evaluate('changed', changed);
    return { ...withoutLosses(after), ...evaluateDomains(domains, { after }) };
  }
  const evaluateEach = async (obstacle: Message): Promise<EvaluationResult> => {
    if (request.needsAgreement === true) {
      const remedy = say`Remove agreement from --require.`;
      throw new UserError('agreement-not-measurable', obstacle, {
        file: other.summary.path,
        field: 'require',
        remedy,
      });
    }
    context.warn(obstacle);
    const after = await evaluate('changed', changed);
    const before = await evaluate('original', original);
    const isSame = readTheSame(original.text, changed.text);
    return {
      ...withoutLosses(after),
      against: withoutLosses(before),
      ...(isSame ? perplexityRatioIfPaired(before.losses, after.losses) : {}),
      ...evaluateDomains(domains, isSame ? { before, after } : { after }),
    };
  };
  const obstacle = explainNotCompared(original, changed, { device, memoryBytes });
  if (obstacle !== undefined) {
    return evaluateEach(obstacle);
  }
  const half = { memoryBytes: memoryBytes / 2, device };
  try {
    return await withExecutor(other, half, async (first) =>
      withExecutor(model, half, async (second) => {
        const { before, after, windows } = await evaluateSideBySide(
          { ...original, executor: first },
          { ...changed, executor: second },
          { ...options, saved: saved.part('compared', timedWindowSchema) },
          context,
        );
        return {
          ...withoutLosses(after),
          against: withoutLosses(before),
          ...perplexityRatioIfPaired(before.losses, after.losses),
          ...comparePredictions(windows),
          ...evaluateDomains(domains, { before, after, windows }),
        };
      }),
    );
  } catch (error) {
    if (error instanceof VocabularyMismatch) {
      return evaluateEach(error.obstacle);
    }
    throw error;
  }
}

const withoutLosses = ({ perplexity, tokens, tokensPerSecond }: MeasuredText): Evaluation => ({
  perplexity,
  tokens,
  tokensPerSecond,
});

export function perplexityRatioIfPaired(
  before: readonly Loss[],
  after: readonly Loss[],
): Pick<EvaluationResult, 'perplexityRatio'> {
  const perplexityRatio = comparePerplexity(before, after);
  return perplexityRatio === undefined ? {} : { perplexityRatio };
}

/** The texts of a request; one without a name has no domain. */
const domainTexts = (
  text: EvaluationRequest['text'],
): readonly (Pick<DomainText, 'file'> & Partial<DomainText>)[] =>
  typeof text === 'string' ? [{ file: text }] : text;

/** Domain of a text, and its number of windows, in the order of the text. */
interface DomainRead {
  readonly domain: string;
  readonly windows: number;
}

/** Windows that a model reads: from one text, or from several in order. */
async function readTexts(
  request: EvaluationRequest,
  model: LayeredModel,
  length: number,
): Promise<{ readonly text: HeldOut; readonly domains: readonly DomainRead[] }> {
  const { text, whole = false } = request;
  const read = whole ? readWholeText : readHeldOut;
  const parts: HeldOut[] = [];
  for (const { file } of domainTexts(text)) {
    await requireWindows(request, file, model);
    parts.push(await read(file, model, length));
  }
  const [first] = parts;
  if (typeof text === 'string' && first !== undefined) {
    return { text: first, domains: [] };
  }
  const windows = parts.map((part) =>
    part instanceof Int32Array ? divideIds(part, length) : part,
  );
  const domains = domainTexts(text).map(({ domain = '' }, i) => ({
    domain,
    windows: windows[i]?.length ?? 0,
  }));
  return { text: windows.flat(), domains };
}

/** Results of all windows by domain. */
function evaluateDomains(
  domains: readonly DomainRead[],
  {
    before,
    after,
    windows,
  }: {
    readonly before?: MeasuredText;
    readonly after: MeasuredText;
    readonly windows?: readonly ComparedWindow[];
  },
): Pick<EvaluationResult, 'domains'> {
  if (domains.length === 0) {
    return {};
  }
  let end = 0;
  return {
    domains: domains.map(({ domain, windows: count }): DomainEvaluation => {
      const range = [end, (end += count)] as const;
      const losses = after.losses.slice(...range);
      const others = before?.losses.slice(...range);
      return {
        domain,
        perplexity: perplexityFrom(losses),
        tokens: losses.reduce((sum, { tokens }) => sum + tokens, 0),
        ...(others === undefined
          ? {}
          : { against: perplexityFrom(others), ...perplexityRatioIfPaired(others, losses) }),
        ...(windows === undefined ? {} : comparePredictions(windows.slice(...range))),
      };
    }),
  };
}

/** Executors and devices of the models. */
interface RunsOn {
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

interface Compared {
  readonly model: LayeredModel;
  readonly text: HeldOut;
}

/** Reason that the predictions of two models can't be compared; undefined if they can. */
function explainNotCompared(
  { model: original, text }: Compared,
  { model: changed, text: changedText }: Compared,
  { device, memoryBytes }: RunsOn,
): Message | undefined {
  const [before, after] = [original.summary, changed.summary];
  if (!readTheSame(text, changedText)) {
    return say`${after.name} and ${before.name} tokenize the text differently, so their perplexities can't be compared.`;
  }
  const [size, changedSize] = [before.vocabularySize, after.vocabularySize];
  // A graph may not tell; its logits do.
  if (size !== undefined && changedSize !== undefined && size !== changedSize) {
    return say`${after.name} has a vocabulary of ${changedSize} tokens, ${before.name} of ${size}, so only their perplexities can be compared.`;
  }
  const least = Math.max(leastMemory(original, device), leastMemory(changed, device));
  return 2 * least > memoryBytes
    ? say`The models don't fit in memory at once, so only their perplexities can be compared. Set the memory to at least ${`${Math.ceil((2 * least) / 2 ** 20)}MiB`} (--memory).`
    : undefined;
}

/** Scores of one or two models on a task. */
export async function judgeModels(
  request: TaskRequest,
  context: JobContext,
): Promise<TaskEvaluation> {
  const [{ model, removed }, other] = await openModels(request);
  for (const { capabilities, path } of [request.model, request.against ?? request.model]) {
    requireAble(capabilities.readText, path);
  }
  const { memoryBytes, saved = nothingSaved } = request;
  const task = await readTask(request.task, request);
  const device = await evaluationDevice(request, context);
  await saved.bind([await evaluationIdentity(request, device), task.name, task.examples]);
  const answer = async (asked: LayeredModel, answering: Answering): Promise<TaskAnswers> =>
    withExecutor(asked, { memoryBytes, device }, async (executor) =>
      answerTask(executor, task, memoryBytes, answering, context),
    );
  const { result, right } = await answer(model, { removed, saved, name: 'changed' });
  if (other === undefined) {
    return result;
  }
  const original = await answer(other, { removed: new Set(), saved, name: 'original' });
  return {
    ...result,
    against: original.result,
    compared: compareAnswers(original.right, right),
  };
}

/** Opens the evaluated model and the one to compare with. */
async function openModels(
  request: ModelsRequest,
): Promise<readonly [own: Planned, other: LayeredModel | undefined]> {
  for (const { capabilities, path } of [request.model, request.against ?? request.model]) {
    requireAble(capabilities.evaluate, path);
  }
  return [await applyRequestedChanges(request), request.against?.model];
}

export const evaluationDevice = async (
  { device }: ModelsRequest,
  context: JobContext,
): Promise<DeviceName> =>
  resolveDevice(device, (message) => {
    context.warn(message);
  });

export async function withExecutor<T>(
  model: LayeredModel,
  { memoryBytes, device }: RunsOn,
  use: (executor: LayeredExecutor) => Promise<T>,
): Promise<T> {
  requireMemory(model, memoryBytes, device);
  const executor = new LayeredExecutor(model, device, memoryBytes);
  try {
    return await use(executor);
  } finally {
    await executor.dispose();
  }
}

/** Facts besides the data on which the results depend. */
export async function evaluationIdentity(
  { model, removed, patch = [], against }: ModelsRequest,
  device: DeviceName,
): Promise<unknown> {
  const patches = await Promise.all(patch.map(async (one) => [one, await digestFile(one.file)]));
  return [model.summary.fingerprint, removed, patches, against?.summary.fingerprint, device];
}

/** A model with its patches, and the units to leave out of it. */
interface Planned {
  readonly model: LayeredModel;
  readonly removed: ReadonlySet<number>;
}

/** A model with the patches of a request, and the units to leave out of it. */
export async function applyRequestedChanges({
  model: { model: original },
  removed: remove,
  patch = [],
}: Pick<ModelsRequest, 'model' | 'removed' | 'patch'>): Promise<Planned> {
  const { removed: ids, patches } = await readRemoval({ remove, patch }, original, '', 'removed');
  const model = withChanges(original, { matrices: new Map(), patches });
  const units = new RemovableUnits(model.summary);
  const removed = new Set(ids.flatMap((id) => units.numberOf(id) ?? []));
  requireExperts(model.summary, removed, { field: 'removed' });
  return { model, removed };
}

/**
 * Ids of a text, or of the transcript of a recording. Models with different audio preprocessing have the same
 * transcript.
 */
const writtenIds = (input: ModelInput): Int32Array =>
  input instanceof Int32Array ? input : predictedIds({ inputs: [] }, input);

function readTheSame(one: HeldOut, other: HeldOut): boolean {
  const [a, b] = [one, other].map((text) =>
    (text instanceof Int32Array ? [text] : text).map(writtenIds),
  );
  return (
    a?.length === b?.length &&
    a?.every(
      (ids, i) => ids.length === b?.[i]?.length && ids.every((id, j) => id === b[i]?.[j]),
    ) === true
  );
}
