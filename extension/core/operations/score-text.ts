import { basename, extname, join } from 'node:path';
import * as v from 'valibot';
import { defaultCalibration } from '../data/calibration-defaults';
import type { TextScores } from '../data/text-scores';
import { scoreText as scoreWindows } from '../datadiet/text/score-text';
import { documentNames } from '../document-names';
import type { ModelSummary } from '../models/model-summary';
import { integer, newFile, path } from './fields';
import { operationJournal } from './journals';
import { defineOperation } from './operation';
import { modelField, runFields, runOptions, sampleText } from './shared-fields';
import { pathNextToModel } from './output-file';
import { roughTokens, wholeModel } from './text-work';
import { runWork } from './work';
import { countPhrase } from './outcomes';
import { say } from '../message';
import { mean } from '../statistics';

/** Default path of a text's scores: next to the model, with the name of the text. */
export async function textScoresPath(model: string, text: string | undefined): Promise<string> {
  const { suffix } = documentNames.textScores;
  const stem = (await pathNextToModel('textScores', model)).slice(0, -suffix.length);
  return `${stem}${text === undefined ? '' : `.${basename(text, extname(text))}`}${suffix}`;
}

/** Bundled text, the default. */
const bundledText = 'calibration.txt';

function windowLength(
  { length }: { readonly length?: number },
  { maxPositions = Number.POSITIVE_INFINITY }: Pick<ModelSummary, 'maxPositions'>,
): number {
  return length ?? Math.min(defaultCalibration.length, maxPositions);
}

const journal = operationJournal('score-text');

export const scoreText = defineOperation({
  id: 'score-text',
  title: 'Score Text',
  verb: 'Scoring text for',
  summary: 'Score the difficulty of each window of a text for a language model (EL2N per token).',
  group: 'data',
  fields: {
    model: modelField,
    text: path({
      description: 'Text to score (.txt, .md, .jsonl)',
      fallback: sampleText,
    }),
    length: integer({
      description: "Length of a window, at most the model's context",
      fallback: String(defaultCalibration.length),
      placeholder: 'L',
      unit: 'tokens',
      min: 2,
      setting: 'calibration.length',
    }),
    windows: integer({
      description: "Windows to score, from the text's beginning",
      fallback: 'all',
      min: 1,
    }),
    out: newFile('textScores', {
      description: 'File for the scores (*.textscores.json)',
    }),
    ...runFields,
  },
  rules: [],
  result: v.looseObject({
    score: v.string(),
    definition: v.string(),
    scores: v.array(v.number()),
    seconds: v.number(),
  }),
  trust: 'run',
  requires: () => ({ model: 'evaluate' }),
  resume: ({ out, model }) => journal.path(out, model),
  suggestOut: async ({ model = '.', text }) => textScoresPath(model, text),
  // All tokens of the windows, once.
  work: async (request, { open, samples }) => {
    const { text = join(samples, bundledText), windows = Number.POSITIVE_INFINITY } = request;
    const tokens = roughTokens(text);
    if (tokens === undefined) {
      return undefined;
    }
    const model = await open(request.model);
    const length = windowLength(request, model.summary);
    const scored = Math.min(tokens, windows * length);
    return runWork(model, wholeModel(scored, model.summary, length), length);
  },
  run: async (request, context): Promise<TextScores> => {
    const { text, windows, out } = request;
    const { open, samples, version } = context.environment;
    const model = await open(request.model);
    return scoreWindows(
      {
        model,
        ...(text === undefined ? {} : { file: text }),
        ...(windows === undefined ? {} : { windows }),
        length: windowLength(request, model.summary),
        ...runOptions(request),
        out,
        journal: await journal.prepare(out, model.path),
      },
      { bundledText: join(samples, bundledText), version },
      context,
    );
  },
  presentation: {
    opens: 'editor',
    outcome: ({ scores }, { request: { out = '' } }) => ({
      summary: say`${basename(out)}: ${countPhrase(scores.length, 'window')}, mean EL2N ${mean(scores).toFixed(3)}. The hardest windows don't always calibrate better than random ones: measure both.`,
    }),
    notice: 'calibrate',
  },
});
