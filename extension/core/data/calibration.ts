import { createHash } from 'node:crypto';
import type { LayeredModel } from '../models/layered-model';
import { divideIds } from '../runtime/windows';
import { UserError } from '../user-error';
import { maxTextBytes, readTextPart } from './text-file';
import type { TextPart } from './text-file';
import { chooseByScore, readTextScores } from './text-scores';
import type { TextPolicy } from './text-scores';
import { readTokens } from './text-tokens';
import { loadTokenizer } from './tokenizer';
import type { Tokenizer } from './tokenizer';
import { checkVocabulary } from './vocabulary';
import { counted, say } from '../message';

/** Where the calibration tokens come from. */
export interface CalibrationRequest {
  /** A .txt, .md or .jsonl file; the bundled text when absent. */
  readonly file?: string;
  /** Whether the file is a task, whose right answers are asked for behind their questions. */
  readonly answers?: boolean;
  /** Number of sequences; of examples of a task. */
  readonly sequences: number;
  /** Whether fewer will do where the text is shorter. */
  readonly upTo?: boolean;
  /** Tokens per sequence, at most where they are examples of a task; that of the scores where there are some. */
  readonly length: number;
  /** Chooses the sequences by what `score-text` found; the text is then the one it scored. */
  readonly scores?: ScoredChoice;
  /**
   * The same request without this is for as many sequences, which are left out here: further ones are
   * taken, as many as there are up to `sequences`, perhaps none.
   */
  readonly after?: number;
}

/** How sequences are chosen. */
export interface ScoredChoice {
  /** A `*.textscores.json`. */
  readonly file: string;
  readonly policy: TextPolicy;
}

/** The calibration tokens a profile was made with. */
export interface CalibrationSummary {
  /** The file's path, or `bundled`. */
  readonly source: string;
  /** Of several texts, whose sequences take turns, all sources; the fingerprint is then over theirs. */
  readonly texts?: readonly string[];
  readonly sequences: number;
  readonly length: number;
  readonly tokens: number;
  /**
   * SHA-256 (hex) of the exact token ids, sequence by sequence, each id as four bytes, the lowest
   * first: numpy's `sha256(ids.astype('<i4').tobytes())`.
   */
  readonly fingerprint: string;
  /** How the sequences were chosen, where they are not the first of the text. */
  readonly choice?: {
    readonly scores: string;
    readonly score: string;
    readonly policy: TextPolicy;
    /** Windows there were to choose from. */
    readonly windows: number;
  };
}

/** Token ids to calibrate with, [sequences][length]. */
export interface Calibration {
  readonly sequences: readonly Int32Array[];
  readonly summary: CalibrationSummary;
}

/**
 * Tokens behind the last one needed that must come from the same stretch of text: how a tokenizer
 * divides a text depends on what follows only nearby, so that far from a cut it divides as if the
 * text went on.
 */
const safeDistance = 256;
/** First guess of how long tokens are. */
const bytesPerToken = 6;

/**
 * Takes the first sequences × length contiguous tokens of a text, as FinerCut does. Of a long file
 * only as much is read and tokenized as that needs. Where there are scores, takes the windows of the
 * scored text that they choose.
 * @throws UserError when the request does not fit the text or the model.
 */
export async function loadCalibration(
  request: CalibrationRequest,
  model: Pick<LayeredModel, 'summary'>,
  bundledText: string,
  seed = 0,
): Promise<Calibration> {
  if (request.scores !== undefined) {
    return loadScored(request, request.scores, model, bundledText, seed);
  }
  const { length, after = 0 } = request;
  checkSizes(request, model);
  const file = request.file ?? bundledText;
  const tokenizer = await loadTokenizer(model.summary.path);
  const ids = await firstTokens(file, tokenizer, (after + request.sequences) * length);
  const whole = Math.floor(ids.length / length);
  if (whole < request.sequences && after === 0 && !(request.upTo && whole > 0)) {
    throw tooShort(file, request, ids.length);
  }
  checkVocabulary(ids, model, tokenizer.file);
  const sequences = Array.from({ length: whole }, (_, i) =>
    ids.slice(i * length, (i + 1) * length),
  );
  return calibrationOf(sequences.slice(after), length, request.file ?? 'bundled');
}

async function loadScored(
  request: CalibrationRequest,
  { file, policy }: ScoredChoice,
  model: Pick<LayeredModel, 'summary'>,
  bundledText: string,
  seed: number,
): Promise<Calibration> {
  const { text, score, scores } = await readTextScores(file);
  const source = request.file ?? text.source;
  const { length } = text;
  checkSizes({ sequences: request.sequences, length }, model);
  const windows = await readTextWindows(
    { file: source === 'bundled' ? bundledText : source, length, most: scores.length },
    model,
  );
  if (fingerprint(windows) !== text.fingerprint) {
    throw new UserError(say`The scores don't match the tokens that ${model.summary.name} reads.`, {
      file,
      field: 'text.fingerprint',
      remedy: say`The text ${source} or the tokenizer has changed: score the text again.`,
    });
  }
  const { sequences, after = 0, upTo = false } = request;
  const asked = after + sequences;
  const wanted = upTo || after > 0 ? Math.min(asked, scores.length) : asked;
  const before = new Set(after === 0 ? [] : chooseByScore(scores, after, policy, seed));
  const chosen = chooseByScore(scores, wanted, policy, seed).filter((i) => !before.has(i));
  const calibration = calibrationOf(
    chosen.flatMap((i) => windows[i] ?? []),
    length,
    source,
  );
  const choice = { scores: file, score, policy, windows: windows.length };
  return { ...calibration, summary: { ...calibration.summary, choice } };
}

/** Sequences with what is told of them; `length` is that of the longest. */
export function calibrationOf(
  sequences: readonly Int32Array[],
  length: number,
  source: string,
): Calibration {
  return {
    sequences,
    summary: {
      source,
      sequences: sequences.length,
      length,
      tokens: sequences.reduce((sum, ids) => sum + ids.length, 0),
      fingerprint: fingerprint(sequences),
    },
  };
}

/**
 * The windows of `length` tokens that a text divides into, at most `most` of them; what remains
 * behind the last whole one is left out.
 * @throws UserError when there is none, or the text does not fit the model.
 */
export async function readTextWindows(
  request: { readonly file: string; readonly length: number; readonly most: number | undefined },
  model: Pick<LayeredModel, 'summary'>,
): Promise<Int32Array[]> {
  const { file, length, most } = request;
  checkSizes({ sequences: most ?? 1, length }, model);
  const ids = await readTokens(file, model);
  const windows = divideIds(ids, length).filter((window) => window.length === length);
  if (windows.length === 0) {
    throw tooShort(file, { sequences: 1, length }, ids.length);
  }
  return windows.slice(0, most);
}

/** @throws UserError for sizes that are none, or longer than the model can read. */
export function checkSizes(
  { sequences, length }: CalibrationRequest,
  model: Pick<LayeredModel, 'summary'>,
): void {
  for (const [field, size] of Object.entries({ sequences, length })) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new UserError(say`${size} is not an integer of at least 1.`, {
        field,
        remedy: undefined,
      });
    }
  }
  const { maxPositions, name } = model.summary;
  if (maxPositions !== undefined && length > maxPositions) {
    throw new UserError(
      say`Sequences of ${counted(length, 'token')} are longer than ${name} can read.`,
      {
        field: 'length',
        remedy: say`Choose at most ${maxPositions} (max_position_embeddings of its config.json).`,
      },
    );
  }
}

/** The first `count` ids of the file's text, or all when it has fewer. */
async function firstTokens(file: string, tokenizer: Tokenizer, count: number): Promise<Int32Array> {
  for (let bytes = (count + safeDistance) * bytesPerToken; ; bytes *= 2) {
    const part = await readTextPart(file, bytes);
    if (part.whole && part.text.trim() === '') {
      throw new UserError(say`The text is empty.`, { file, remedy: say`Choose another text.` });
    }
    const ids = tokenizer.encode(cutBetweenWords(part));
    if (part.whole || ids.length >= count + safeDistance) {
      return ids.subarray(0, count);
    }
    if (bytes >= maxTextBytes) {
      throw new UserError(
        say`The first ${maxTextBytes / 2 ** 20} MiB have ${counted(ids.length, 'token')}, but ${count} are needed.`,
        { file, remedy: say`Choose fewer sequences or a shorter length.` },
      );
    }
  }
}

/** Drops the last word of a part, as its end may be missing. */
function cutBetweenWords({ text, whole }: TextPart): string {
  if (whole) {
    return text;
  }
  const end = text.search(/\s\S*$/);
  return end > 0 ? text.slice(0, end) : text;
}

function tooShort(file: string, { sequences, length }: CalibrationRequest, has: number): UserError {
  return new UserError(
    say`The text has ${counted(has, 'token')}, but ${counted(sequences, 'sequence')} of ${length} need ${sequences * length}.`,
    { file, remedy: say`Choose fewer sequences, a shorter length or a longer text.` },
  );
}

/** SHA-256 (hex) of the ids of all sequences, as in a summary. */
export function fingerprint(sequences: readonly Int32Array[]): string {
  const hash = createHash('sha256');
  for (const ids of sequences) {
    const bytes = Buffer.alloc(ids.length * 4);
    ids.forEach((id, i) => bytes.writeInt32LE(id, i * 4));
    hash.update(bytes);
  }
  return hash.digest('hex');
}
