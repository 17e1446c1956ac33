import { createHash } from 'node:crypto';
import { fingerprintExamples, loadExamples } from '../data/examples/load-examples';
import { exampleRow } from '../data/examples/recordings';
import { holdsTranscripts } from '../data/model-inputs';
import { encodeAnswer, holdsPairs } from '../data/tasks/pairs';
import type { Example } from '../data/tasks/task-example';
import { readTask } from '../data/tasks/task-file';
import { readExcerpts, readTokens } from '../data/text-tokens';
import { loadTokenizer } from '../data/tokenizer';
import type { JobContext } from '../jobs/job';
import { takesRecordings, targetStartId } from '../models/example';
import type { LayeredModel } from '../models/layered-model';
import { AnsweredIds } from '../models/model-input';
import type { ModelInput } from '../models/model-input';
import { divideIds } from '../runtime/windows';
import { defaultTokens, defaultWindows } from './perplexity';
import { UserError } from '../user-error';
import { say } from '../message';

/** Ids of a held-out text, or windows of it, such as pairs of source and target; or recordings with transcripts. */
export type HeldOut = Int32Array | readonly ModelInput[];

/** Number of tokens of a source and of a target for models without a limit. */
const longestPart = 1024;

/** Default number of recordings. Each takes as long as 30 seconds of audio, even if it is shorter. */
const defaultRecordings = 32;

/**
 * Default input of every measurement on held-out text, so that a model has a single perplexity:
 * windows spread over the text, the first pairs of source and target with the same number of
 * tokens, or recordings spread over the list.
 * @param length tokens of a window
 * @throws UserError if text and model do not fit
 */
export async function readHeldOut(
  file: string,
  model: LayeredModel,
  length: number,
): Promise<readonly ModelInput[]> {
  if (takesRecordings(model)) {
    return readTranscribed(file, model, defaultRecordings);
  }
  return (await holdsPairs(file, model))
    ? readPairs(file, model, defaultTokens)
    : divideIds(await readExcerpts(file, model, { count: defaultWindows, length }), length);
}

/** All of a held-out text. */
export async function readWholeText(file: string, model: LayeredModel): Promise<HeldOut> {
  if (takesRecordings(model)) {
    return readTranscribed(file, model, Number.MAX_SAFE_INTEGER);
  }
  return (await holdsPairs(file, model)) ? readPairs(file, model) : readTokens(file, model);
}

/** SHA-256 (hex) of the inputs and the targets of a held-out text. */
export function fingerprintHeldOut(text: HeldOut): string {
  const hash = createHash('sha256');
  for (const input of text instanceof Int32Array ? [text] : text) {
    if (input instanceof Int32Array) {
      hash.update(`${input.length} ${input instanceof AnsweredIds ? input.answerFrom : 0}\n`);
      hash.update(new Uint8Array(input.buffer, input.byteOffset, input.byteLength));
    } else {
      hash.update(fingerprintExamples([input]));
    }
  }
  return hash.digest('hex');
}

/** True if the held-out data consists of examples that are each read as a whole. */
export const isReadWhole = async (file: string, model: LayeredModel): Promise<boolean> =>
  takesRecordings(model) || holdsPairs(file, model);

/** Fix suggested if recordings are missing. */
export const giveRecordings = say`Choose recordings with transcripts: a folder of .wav files with a .txt file next to each, or a .jsonl file with lines such as ${exampleRow}.`;

async function readTranscribed(
  file: string,
  model: LayeredModel,
  count: number,
): Promise<readonly ModelInput[]> {
  if (!(await holdsTranscripts(file, model))) {
    throw new UserError(
      'recordings-missing',
      say`${model.summary.name} is a speech-to-text model, and this is a text.`,
      { file, remedy: giveRecordings },
    );
  }
  const { examples } = await loadExamples(
    { file, count, seed: 0 },
    model.inputs,
    model.summary.path,
  );
  return examples;
}

async function readPairs(
  file: string,
  model: LayeredModel,
  most = Number.POSITIVE_INFINITY,
): Promise<Int32Array[]> {
  const { examples } = await readTask(file);
  const tokenizer = await loadTokenizer(model.summary.path);
  const options = { model, file, most: model.summary.maxPositions ?? longestPart };
  const pairs: Int32Array[] = [];
  let tokens = 0;
  for (const example of examples as readonly Example[]) {
    if (tokens >= most) {
      break;
    }
    const pair = encodeAnswer(tokenizer, example, options);
    pairs.push(pair);
    tokens += pair.length;
  }
  return pairs;
}

/** Warns if a model that reads source and target is given a plain text. */
export async function warnHalves(
  file: string,
  models: readonly LayeredModel[],
  { warn }: Pick<JobContext, 'warn'>,
): Promise<void> {
  for (const model of models) {
    if (targetStartId(model) !== undefined && !(await holdsPairs(file, model))) {
      warn(
        say`${model.summary.name} reads a source and a target: the first half of each window is the source, and perplexity is that of the second half. For its own task, use a .jsonl file of pairs with input and target.`,
      );
      return;
    }
  }
}
