import * as v from 'valibot';
import { described, parseDocument } from '../jobs/parse-document';
import { UserError } from '../user-error';
import { choose, seededRandom } from './random';
import { counted, say } from '../message';
import { readSmallText } from '../regular-file';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const textScoresSchema = v.object({
  format: described(v.literal('espalier.textscores'), 'Marks the file as scores of a text'),
  version: described(v.literal(1), 'Version of the format'),
  model: described(
    v.object({ name: v.string(), path: v.string(), fingerprint: v.string() }),
    'The model that scored it',
  ),
  text: described(
    v.object({
      /** Path of the file, or `bundled`. */
      source: v.string(),
      /** Tokens per window. */
      length: v.pipe(count, v.minValue(2)),
      /** SHA-256 of the windows' token ids, as for calibration tokens. */
      fingerprint: v.string(),
    }),
    'The text, the length of a window in tokens, and a fingerprint of the tokens',
  ),
  score: described(v.literal('el2n'), 'Name of the score'),
  definition: described(v.string(), 'The score in words'),
  scores: described(
    v.pipe(v.array(v.pipe(v.number(), v.finite())), v.minLength(1)),
    'One score for each window, in the order of the text',
  ),
  seconds: described(v.number(), 'Duration in seconds'),
  created: described(v.string(), 'Time of creation'),
  versions: described(
    v.object({ espalier: v.string(), onnxruntime: v.string(), node: v.string() }),
    'Versions of Espalier, ONNX Runtime and Node',
  ),
});

/** Document `NAME.textscores.json` with the difficulty of each window of a text for a language model. */
export type TextScores = v.InferOutput<typeof textScoresSchema>;

/** Selection of windows: hardest, around the median, easiest, or random. */
export const textPolicies = ['max', 'window', 'min', 'random'] as const;
export type TextPolicy = (typeof textPolicies)[number];
export const defaultTextPolicy: TextPolicy = 'max';

/** @throws UserError naming the file and the field. */
export async function readTextScores(file: string): Promise<TextScores> {
  const text = await readSmallText(file);
  return parseTextScores(text, file);
}

/** @throws UserError naming the file and the field. */
export function parseTextScores(text: string, file: string): TextScores {
  return parseDocument(textScoresSchema, text, file, say`scores of a text`);
}

/**
 * Ascending indices of the `wanted` windows selected by a policy. Ties are resolved by position.
 * @throws UserError if there are fewer windows.
 */
export function chooseByScore(
  scores: readonly number[],
  wanted: number,
  policy: TextPolicy,
  seed: number,
): number[] {
  if (wanted > scores.length) {
    throw new UserError(
      'scores-too-few',
      say`${counted(wanted, 'sequence')} requested, but only ${scores.length} scored.`,
      { field: 'sequences', remedy: say`Choose fewer sequences, or score a longer text.` },
    );
  }
  if (policy === 'random') {
    return choose(wanted, scores.length, seededRandom(seed));
  }
  const hardestFirst = scores
    .map((_, i) => i)
    .sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const spare = scores.length - wanted;
  const start = { max: 0, window: Math.floor(spare / 2), min: spare }[policy];
  return hardestFirst.slice(start, start + wanted).sort((a, b) => a - b);
}
