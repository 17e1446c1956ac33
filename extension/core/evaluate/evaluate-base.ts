import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import * as v from 'valibot';
import { loadTokenizer } from '../data/tokenizer';
import type { JobContext } from '../jobs/job';
import { replaceFile } from '../jobs/write-document';
import { nothingSaved } from '../jobs/saved-parts';
import { takesRecordings, targetStartId } from '../models/example';
import type { LayeredModel } from '../models/layered-model';
import { digestFile, withRegularFile } from '../regular-file';
import { requireNextTokens } from '../runtime/next-token';
import { explainNonFinite } from '../runtime/non-finite';
import type { LayeredExecutor } from '../runtime/layered-executor';
import type { HiddenState } from '../runtime/tensors';
import { predictedRows, tokenLogits } from '../runtime/token-sums';
import { divideIds, readWindows } from '../runtime/windows';
import type { TextWindow } from '../runtime/windows';
import { UserError } from '../user-error';
import { formatBytes } from '../format';
import { say } from '../message';
import {
  baseBytes,
  compareWithBase,
  encodeBaseHead,
  encodeBaseRow,
  firstCounted,
  readBaseRows,
  readBaseText,
} from './base-probabilities';
import type { BaseText } from './base-probabilities';
import { comparedWindowSchema, comparePredictions, sum } from './compared-tokens';
import type { ComparedWindow } from './compared-tokens';
import {
  applyRequestedChanges,
  evaluationDevice,
  evaluationIdentity,
  perplexityRatioIfPaired,
  withExecutor,
} from './evaluate-models';
import type { ModelsRequest } from './evaluate-models';
import type { BaseEvaluation, Evaluation } from './evaluation';
import { readHeldOut, readWholeText } from './held-out';
import { toPerplexity } from './perplexity';

/** Tokens per saved chunk, the default of llama-perplexity. */
export const defaultBaseLength = 512;

/** Model, and a file with the log-probabilities of its original. */
export interface BaseRequest extends Omit<ModelsRequest, 'against'> {
  readonly base: string;
}

/** Model whose log-probabilities on a text are saved. */
export interface SaveBaseRequest extends BaseRequest {
  readonly text: string;
  /** True to evaluate the whole text; if absent, some chunks spread over it. */
  readonly whole?: boolean;
  /** Tokens per chunk. */
  readonly length?: number;
}

const columns = ['before', 'after', 'divergence', 'same'] as const;

const measuredChunkSchema = v.object({
  ...comparedWindowSchema.entries,
  milliseconds: v.number(),
});

/**
 * Compares a model with log-probabilities that were saved of its original, which doesn't run. The text is the one in
 * the file, and the definitions are those of `llama-perplexity --kl-divergence`.
 * @throws UserError if the file is damaged or belongs to a model with another vocabulary
 */
export async function evaluateWithBase(
  request: BaseRequest,
  context: JobContext,
): Promise<BaseEvaluation> {
  const { base, memoryBytes, saved = nothingSaved } = request;
  const { model, removed } = await applyRequestedChanges(request);
  requireChunks(model);
  const device = await evaluationDevice(request, context);
  return withRegularFile(base, async (opened) => {
    const text = await readBaseText(opened);
    const { maxPositions = Infinity, name } = model.summary;
    requireVocabulary(text, logitsWidth(model) ?? text.vocabulary, { file: base, name });
    if (text.length > maxPositions) {
      throw new UserError(
        'chunks-too-long',
        say`The chunks have ${text.length} tokens, and ${name} reads ${maxPositions}.`,
        { file: base, remedy: say`Save shorter chunks: --length ${maxPositions}.` },
      );
    }
    await saved.bind([await evaluationIdentity(request, device), await digestFile(base)]);
    const windows = await countedWindows(text, model);
    const chunks = await withExecutor(model, { memoryBytes, device }, async (executor) => {
      let started = performance.now();
      return readWindows(
        executor,
        windows,
        {
          removed,
          stage: say`Evaluating ${name}`,
          saved: saved.part('base', measuredChunkSchema),
        },
        context,
        async (window, state, chunk) => {
          const rows = await readBaseRows(opened, text, chunk);
          const found: Record<keyof ComparedWindow, number[]> = {
            ...{ before: [], after: [], divergence: [], same: [] },
          };
          await eachRow(executor, window, state, (logits, next) => {
            requireVocabulary(text, logits.length, { file: base, name });
            const row = rows[found.before.length];
            if (row === undefined) {
              throw new RangeError('a row for each counted token');
            }
            const compared = compareWithBase(row, logits, next);
            for (const key of columns) {
              found[key].push(compared[key]);
            }
          });
          await requireFinite(executor, window, removed, found.after);
          const milliseconds = performance.now() - started;
          started = performance.now();
          return { ...found, milliseconds };
        },
      );
    });
    const measure = (key: 'before' | 'after'): ReturnType<typeof toPerplexity> =>
      toPerplexity(
        model,
        windows,
        chunks.map((chunk) => sum(chunk[key])),
        sum(chunks.map(({ milliseconds }) => milliseconds)),
      );
    const [before, after] = [measure('before'), measure('after')];
    const { perplexity, tokens, tokensPerSecond } = after;
    return {
      ...{ perplexity, tokens, tokensPerSecond },
      against: { perplexity: before.perplexity, tokens },
      ...perplexityRatioIfPaired(before.losses, after.losses),
      ...comparePredictions(chunks),
    };
  });
}

/**
 * Saves a model's log-probabilities on a text, for later comparisons without the model.
 * @returns its perplexity on the counted tokens, the second half of each chunk
 */
export async function saveBase(
  request: SaveBaseRequest,
  context: JobContext,
): Promise<Evaluation & { readonly base: string; readonly baseBytes: number }> {
  const { base, memoryBytes, whole = false } = request;
  const { model, removed } = await applyRequestedChanges(request);
  requireChunks(model);
  const { maxPositions = Infinity, name } = model.summary;
  const length = Math.min(request.length ?? defaultBaseLength, maxPositions);
  const read = await (whole ? readWholeText : readHeldOut)(request.text, model, length);
  const chunks = (read instanceof Int32Array ? divideIds(read, length) : read).filter(
    (chunk) => chunk instanceof Int32Array && chunk.length === length,
  ) as Int32Array[];
  const [first] = chunks;
  if (first === undefined) {
    throw new UserError(
      'text-shorter-than-chunk',
      say`The text has fewer than ${length} tokens, the length of a chunk.`,
      {
        file: request.text,
        field: 'length',
        remedy: say`Choose a longer text or shorter chunks.`,
      },
    );
  }
  const device = await evaluationDevice(request, context);
  return withExecutor(model, { memoryBytes, device }, async (executor) => {
    const vocabulary = await vocabularySize(executor, first);
    const text = { length, vocabulary, chunks };
    const bytes = baseBytes(chunks.length, length, vocabulary);
    context.inform(say`Writing ${formatBytes(bytes)} of log-probabilities to ${base}`);
    const windows = await countedWindows(text, model);
    const started = performance.now();
    let losses: number[] = [];
    await replaceFile(base, async (partial) => {
      const handle = await open(partial, 'w');
      try {
        await handle.write(encodeBaseHead(text));
        losses = await readWindows(
          executor,
          windows,
          { removed, stage: say`Evaluating ${name}` },
          context,
          async (window, state) => writeChunk(executor, window, state, handle),
        );
        await requireFinite(executor, windows[0], removed, losses);
      } finally {
        await handle.close();
      }
    });
    const measured = toPerplexity(model, windows, losses, performance.now() - started);
    const { perplexity, tokens, tokensPerSecond } = measured;
    return { perplexity, tokens, tokensPerSecond, base, baseBytes: bytes };
  });
}

/** @returns the sum of negative log-likelihoods of the chunk, in nats */
async function writeChunk(
  executor: LayeredExecutor,
  window: TextWindow,
  state: HiddenState,
  handle: FileHandle,
): Promise<number> {
  let loss = 0;
  const rows: Buffer[] = [];
  await eachRow(executor, window, state, (logits, next) => {
    const row = encodeBaseRow(logits);
    rows.push(row.bytes);
    loss += row.logSum - (logits[next] ?? Number.NaN);
  });
  await handle.writev(rows);
  return loss;
}

/**
 * Calls `use` with the logits of each counted position, which are overwritten afterward, and the
 * token that follows it.
 */
async function eachRow(
  executor: LayeredExecutor,
  { targets }: TextWindow,
  state: HiddenState,
  use: (logits: Float32Array, next: number) => void,
): Promise<void> {
  const logits = await tokenLogits(executor, targets, state);
  for (const rows of predictedRows(targets, logits.perRun)) {
    const given = await logits.of(rows);
    const values = (await given.getData()) as Float32Array;
    const width = given.dims.at(-1) ?? 1;
    for (let row = 0; row < rows.end - rows.start; row++) {
      use(values.subarray(row * width, (row + 1) * width), targets[rows.start + row] ?? -1);
    }
  }
}

/** Chunks to run, starting with the BOS token if the tokenizer adds one. */
async function countedWindows(
  { chunks, length }: BaseText,
  model: LayeredModel,
): Promise<TextWindow[]> {
  const tokenizer = await loadTokenizer(model.summary.path);
  const [first] = tokenizer.encode('a');
  const [plain] = tokenizer.encodePlain('a');
  return chunks.map((chunk) => ({
    input: first === undefined || first === plain ? chunk : chunk.with(0, first),
    targets: Int32Array.from({ length: length - 1 }, (_, i) =>
      i < firstCounted(length) ? -1 : (chunk[i + 1] ?? -1),
    ),
  }));
}

function requireVocabulary(
  { vocabulary }: Pick<BaseText, 'vocabulary'>,
  own: number,
  { file, name }: { readonly file: string; readonly name: string },
): void {
  if (vocabulary !== own) {
    throw new UserError(
      'vocabulary-mismatch',
      say`The log-probabilities are of ${vocabulary} tokens, but ${name} has ${own}.`,
      { file, remedy: say`Save the log-probabilities of the model that ${name} was made from.` },
    );
  }
}

/** @throws UserError for models that don't predict each next token of a text */
function requireChunks(model: LayeredModel): void {
  requireNextTokens(model);
  if (takesRecordings(model) || targetStartId(model) !== undefined) {
    throw new UserError(
      'log-probabilities-unsupported',
      say`Log-probabilities can only be saved for models that continue a text.`,
      { file: model.summary.path, remedy: say`Compare the two models with --against.` },
    );
  }
}

async function requireFinite(
  executor: LayeredExecutor,
  window: TextWindow | undefined,
  removed: ReadonlySet<number>,
  losses: readonly number[],
): Promise<void> {
  if (window !== undefined && !Number.isFinite(sum(losses))) {
    throw await explainNonFinite(executor, window.input, removed);
  }
}

/** Number of tokens that the logits cover; undefined if the model doesn't specify it. */
const logitsWidth = ({ emitter, summary }: LayeredModel): number | undefined =>
  emitter?.vocabularySize ?? summary.vocabularySize;

/** Number of tokens that the logits cover. */
async function vocabularySize(executor: LayeredExecutor, chunk: Int32Array): Promise<number> {
  const width = logitsWidth(executor.model);
  if (width !== undefined) {
    return width;
  }
  const state = await executor.embed(chunk);
  return (await executor.output(state)).dims.at(-1) ?? 1;
}
