import { existsSync, statSync } from 'node:fs';
import type { ModelSummary } from '../models/model-summary';
import type { ModelWork } from '../runtime/speed/model-speed';

/** What a token stands for, roughly: 3.3 bytes of English where a vocabulary has 2 thousand, 4.5 where it has 49. */
const bytesPerToken = 4;

/** Tokens of a text by the size of its file; undefined where there is none: a missing one is for the run to say. */
export const roughTokens = (file: string): number | undefined =>
  existsSync(file) && statSync(file).isFile() ? statSync(file).size / bytesPerToken : undefined;

/** Work of taking some tokens through all sublayers of a model, without its head. */
export const allSublayers = (
  tokens: number,
  { sublayers }: Pick<ModelSummary, 'sublayers'>,
): ModelWork => ({ sublayerTokens: tokens * sublayers.length, readoutTokens: 0 });

/** Work of running a whole model, its head included, over some tokens. */
export const wholeModel = (
  tokens: number,
  summary: Pick<ModelSummary, 'sublayers'>,
): ModelWork => ({ ...allSublayers(tokens, summary), readoutTokens: tokens });
