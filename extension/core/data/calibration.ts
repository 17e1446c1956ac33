import { createHash } from 'node:crypto';
import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { maxTextBytes, readTextPart } from './text-file';
import type { TextPart } from './text-file';
import { loadTokenizer } from './tokenizer';
import type { Tokenizer } from './tokenizer';
import { checkVocabulary } from './vocabulary';

/** Asks for random numbers in place of a file. */
export const randomInputs = 'random';

/** Where the calibration tokens come from. */
export interface CalibrationRequest {
  /** A .txt, .md or .jsonl file; the bundled text when absent. */
  readonly file?: string;
  /** Number of sequences. */
  readonly sequences: number;
  /** Tokens per sequence. */
  readonly length: number;
}

/** The calibration tokens a profile was made with. */
export interface CalibrationSummary {
  /** The file's path, or `bundled`. */
  readonly source: string;
  readonly sequences: number;
  readonly length: number;
  readonly tokens: number;
  /**
   * SHA-256 (hex) of the exact token ids, sequence by sequence, each id as four bytes, the lowest
   * first: numpy's `sha256(ids.astype('<i4').tobytes())`.
   */
  readonly fingerprint: string;
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
 * only as much is read and tokenized as that needs.
 * @throws UserError when the request does not fit the text or the model.
 */
export async function loadCalibration(
  request: CalibrationRequest,
  model: Pick<LayeredModel, 'summary'>,
  bundledText: string,
): Promise<Calibration> {
  const { sequences, length } = request;
  checkSizes(request, model);
  const file = request.file ?? bundledText;
  const tokenizer = await loadTokenizer(model.summary.path);
  const ids = await firstTokens(file, tokenizer, sequences * length);
  if (ids.length < sequences * length) {
    throw tooShort(file, request, ids.length);
  }
  checkVocabulary(ids, model, tokenizer.file);
  return {
    sequences: Array.from({ length: sequences }, (_, i) => ids.slice(i * length, (i + 1) * length)),
    summary: {
      source: request.file ?? 'bundled',
      sequences,
      length,
      tokens: ids.length,
      fingerprint: fingerprint(ids),
    },
  };
}

function checkSizes(
  { sequences, length }: CalibrationRequest,
  model: Pick<LayeredModel, 'summary'>,
): void {
  for (const [field, size] of Object.entries({ sequences, length })) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new UserError(`${size} is not a whole number from 1.`, { field });
    }
  }
  const { maxPositions, name } = model.summary;
  if (maxPositions !== undefined && length > maxPositions) {
    throw new UserError(`Sequences of ${length} tokens are longer than ${name} can read.`, {
      field: 'length',
      remedy: `Choose at most ${maxPositions} (max_position_embeddings of its config.json).`,
    });
  }
}

/** The first `count` ids of the file's text, or all when it has fewer. */
async function firstTokens(file: string, tokenizer: Tokenizer, count: number): Promise<Int32Array> {
  for (let bytes = (count + safeDistance) * bytesPerToken; ; bytes *= 2) {
    const part = await readTextPart(file, bytes);
    if (part.whole && part.text.trim() === '') {
      throw new UserError('The text is empty.', { file, remedy: 'Choose another text.' });
    }
    const ids = tokenizer.encode(cutBetweenWords(part));
    if (part.whole || ids.length >= count + safeDistance) {
      return ids.subarray(0, count);
    }
    if (bytes >= maxTextBytes) {
      throw new UserError(
        `The first ${maxTextBytes / 2 ** 20} MiB have ${ids.length} tokens, but ${count} are needed.`,
        { file, remedy: 'Choose fewer sequences or a shorter length.' },
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
    `The text has ${has} tokens, but ${sequences} sequences of ${length} need ${sequences * length}.`,
    { file, remedy: 'Choose fewer sequences, a shorter length or a longer text.' },
  );
}

function fingerprint(ids: Int32Array): string {
  const bytes = Buffer.alloc(ids.length * 4);
  ids.forEach((id, i) => bytes.writeInt32LE(id, i * 4));
  return createHash('sha256').update(bytes).digest('hex');
}
