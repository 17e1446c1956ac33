import { createHash } from 'node:crypto';
import type { LayeredModel } from '../models/layered-model';
import { divideIds } from '../runtime/windows';
import { UserError } from '../user-error';
import { maxTextBytes, readTextPart } from './text-file';
import type { TextPart } from './text-file';
import { chooseByScore, readTextScores } from './text-scores';
import type { TextPolicy } from './text-scores';
import { readTokens, checkVocabulary } from './text-tokens';
import { loadTokenizer } from './tokenizer';
import type { Tokenizer } from './tokenizer';
import { counted, say } from '../message';

/** Source and size of the calibration data. */
export interface CalibrationRequest {
  /** Path of a .txt, .md or .jsonl file; the bundled text by default. */
  readonly file?: string;
  /** True if the file is a task, whose correct answers are used as continuations of its questions. */
  readonly answers?: boolean;
  /** Number of sequences, or of task examples. */
  readonly sequences: number;
  /** True if fewer sequences are accepted when the text is shorter. */
  readonly upTo?: boolean;
  /** Tokens per sequence; the maximum for task examples. With `scores`, the window length of the scores is used. */
  readonly length: number;
  /** Selects sequences by the results of `score-text`; the text is then the one that was scored. */
  readonly scores?: ScoredChoice;
  /**
   * Number of sequences to skip, which the same request without `after` uses. Returns the following sequences, up to
   * `sequences`, possibly none.
   */
  readonly after?: number;
}

/** Selection of sequences by score. */
export interface ScoredChoice {
  /** Path of a `*.textscores.json` file. */
  readonly file: string;
  readonly policy: TextPolicy;
}

/** Calibration data that a profile was made with. */
export interface CalibrationSummary {
  /** Path of the file, or `bundled`. */
  readonly source: string;
  /** All sources, if sequences alternate between several texts. The fingerprint then covers their fingerprints. */
  readonly texts?: readonly string[];
  readonly sequences: number;
  readonly length: number;
  readonly tokens: number;
  /**
   * SHA-256 (hex) of the exact token ids, sequence by sequence, as little-endian int32:
   * `sha256(ids.astype('<i4').tobytes())` in numpy.
   */
  readonly fingerprint: string;
  /** Selection of sequences; by default the first ones of the text. */
  readonly choice?: {
    readonly scores: string;
    readonly score: string;
    readonly policy: TextPolicy;
    /** Number of windows that were available. */
    readonly windows: number;
  };
}

/** Calibration token ids, [sequences][length]. */
export interface Calibration {
  readonly sequences: readonly Int32Array[];
  readonly summary: CalibrationSummary;
}

/**
 * Number of extra tokens read after the last one needed. A tokenizer's splits depend only on nearby text, so at this
 * distance from the cut the ids equal those of the full text.
 */
const safeDistance = 256;
/** Initial estimate of the average token length. */
const bytesPerToken = 6;

/**
 * Returns the first sequences × length contiguous tokens of a text, as in FinerCut, or the windows selected by
 * `scores`. Reads and tokenizes only as much of a long file as needed.
 * @throws UserError if the request doesn't fit the text or the model.
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
  return createCalibration(sequences.slice(after), length, request.file ?? 'bundled');
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
    throw new UserError(
      'text-scores-mismatch',
      say`The scores don't match the tokens that ${model.summary.name} reads.`,
      {
        file,
        field: 'text.fingerprint',
        remedy: say`The text ${source} or the tokenizer has changed: score the text again.`,
      },
    );
  }
  const { sequences, after = 0, upTo = false } = request;
  const asked = after + sequences;
  const wanted = upTo || after > 0 ? Math.min(asked, scores.length) : asked;
  const before = new Set(after === 0 ? [] : chooseByScore(scores, after, policy, seed));
  const chosen = chooseByScore(scores, wanted, policy, seed).filter((i) => !before.has(i));
  const calibration = createCalibration(
    chosen.flatMap((i) => windows[i] ?? []),
    length,
    source,
  );
  const choice = { scores: file, score, policy, windows: windows.length };
  return { ...calibration, summary: { ...calibration.summary, choice } };
}

/** Creates a calibration from sequences. `length` is that of the longest. */
export function createCalibration(
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
 * Splits a text into windows of `length` tokens, at most `most`. An incomplete last window is dropped.
 * @throws UserError if there is no complete window, or the text doesn't fit the model.
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

/** @throws UserError if a size is not positive, or exceeds the model's context length. */
export function checkSizes(
  { sequences, length }: CalibrationRequest,
  model: Pick<LayeredModel, 'summary'>,
): void {
  for (const [field, size] of Object.entries({ sequences, length })) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new UserError('integer-not-positive', say`${size} is not an integer of at least 1.`, {
        field,
        remedy: undefined,
      });
    }
  }
  const { maxPositions, name } = model.summary;
  if (maxPositions !== undefined && length > maxPositions) {
    throw new UserError(
      'sequence-too-long',
      say`Sequences of ${counted(length, 'token')} are longer than ${name} can read.`,
      {
        field: 'length',
        remedy: say`Choose at most ${maxPositions} (max_position_embeddings of its config.json).`,
      },
    );
  }
}

/** First `count` token ids of a file, or all if there are fewer. */
async function firstTokens(file: string, tokenizer: Tokenizer, count: number): Promise<Int32Array> {
  for (let bytes = (count + safeDistance) * bytesPerToken; ; bytes *= 2) {
    const part = await readTextPart(file, bytes);
    if (part.whole && part.text.trim() === '') {
      throw new UserError('text-empty', say`The text is empty.`, {
        file,
        remedy: say`Choose another text.`,
      });
    }
    const ids = tokenizer.encode(cutBetweenWords(part));
    if (part.whole || ids.length >= count + safeDistance) {
      return ids.subarray(0, count);
    }
    if (bytes >= maxTextBytes) {
      throw new UserError(
        'text-start-too-short',
        say`The first ${maxTextBytes / 2 ** 20} MiB have ${counted(ids.length, 'token')}, but ${count} are needed.`,
        { file, remedy: say`Choose fewer sequences or a shorter length.` },
      );
    }
  }
}

/** Drops the last word of a truncated text, since it may be incomplete. */
function cutBetweenWords({ text, whole }: TextPart): string {
  if (whole) {
    return text;
  }
  const end = text.search(/\s\S*$/);
  return end > 0 ? text.slice(0, end) : text;
}

function tooShort(file: string, { sequences, length }: CalibrationRequest, has: number): UserError {
  return new UserError(
    'text-too-short',
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
