import { resolve } from 'node:path';
import * as v from 'valibot';
import { readScores, writeScores } from '../datadiet/scores/score-files';
import { scoreFormatFromPath } from '../datadiet/scores/score-format';
import type { ScoreFormat } from '../datadiet/scores/score-format';
import { newFile } from './fields';
import { defineOperation } from './operation';
import { scoreFormatField } from './score-data';
import { scoresField } from './select-data';
import { exportedOutcome } from './outcomes';

export interface ConvertedScores {
  readonly examples: number;
  readonly format: ScoreFormat;
}

export const convertScores = defineOperation({
  id: 'convert-scores',
  title: 'Convert Scores',
  verb: 'Converting',
  summary: 'Convert scores of one tool to the format of another.',
  group: 'data',
  fields: {
    scores: scoresField,
    out: newFile('scores', { description: 'File for the scores', required: true }),
    format: scoreFormatField,
  },
  rules: [],
  result: v.looseObject({ examples: v.number(), format: v.string() }),
  trust: 'write',
  run: async (request): Promise<ConvertedScores> => {
    const out = resolve(request.out);
    const format = request.format ?? scoreFormatFromPath(out);
    const document = await readScores(resolve(request.scores));
    await writeScores(out, document, format);
    return { examples: document.examples, format };
  },
  presentation: {
    panel: 'dataMap',
    document: 'scores',
    opens: 'folder',
    outcome: ({ examples }, { request: { out } }) => exportedOutcome(examples, out),
  },
});
