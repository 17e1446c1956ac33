import { resolve } from 'node:path';
import * as v from 'valibot';
import { cartographyFiles } from '../datadiet/scores/dynamics';
import { scoreKinds } from '../datadiet/scores/score-document';
import { scoreDataset } from '../datadiet/scores/score-dataset';
import { formatOf, scoreFormats, writeScores } from '../datadiet/scores/score-files';
import { runsOfDocument } from '../jobs/work-folder';
import { dataField, datasetFields, datasetOptions } from './data-fields';
import { choice, integer, path } from './fields';
import { defineOperation } from './operation';
import { replaces } from './rules';
import { sharingNames, sharingRules } from './sharing';
import {
  passKind,
  proxyOf,
  seedSharingFields,
  seedSharingOf,
  trainingFields,
  trainingOf,
} from './training-fields';
import { say } from '../message';

/** What scores are written as. */
export const scoreFormatField = choice(scoreFormats, {
  description: 'Format of the scores',
  fallback: 'by the ending of --out',
  placeholder: 'FORMAT',
});

/** Trainings that scores are averaged over. */
export const runsField = integer({
  description: 'Trainings to average over, with seeds 0, 1, …',
  default: 10,
  min: 1,
});

/** How a data set was scored. */
export interface DataScoring {
  readonly examples: number;
  readonly runs: number;
  /** Mean of Spearman's correlation over pairs of runs; null for one run. */
  readonly interRunSpearman: number | null;
  /** Of all runs together. */
  readonly seconds: number;
  /** Labels that may be wrong. */
  readonly suspected: number;
  readonly notes: readonly string[];
}

export const scoreData = defineOperation({
  id: 'score-data',
  title: 'Score Data Set',
  verb: 'Scoring',
  summary: 'Score how much each example of a data set matters for training.',
  fields: {
    data: dataField,
    out: path({ description: 'Where to write the scores', required: true }),
    format: scoreFormatField,
    score: choice(scoreKinds, {
      description: 'What to score examples by',
      default: 'el2n',
      placeholder: 'SCORE',
    }),
    runs: runsField,
    epoch: integer({
      description: 'Epochs to train before scoring; 0 scores at initialisation',
      default: 3,
      min: 0,
    }),
    dynamics: path({
      description: 'Also write the training dynamics of the run with seed 0 into this folder',
      placeholder: 'DIR',
    }),
    ...seedSharingFields,
    ...datasetFields,
    ...trainingFields,
  },
  rules: [...sharingRules, replaces('dynamics', sharingNames, say`its runs are sequential`)],
  result: v.looseObject({
    examples: v.number(),
    runs: v.number(),
    interRunSpearman: v.nullable(v.number()),
    seconds: v.number(),
    suspected: v.number(),
  }),
  trust: 'run',
  resume: ({ out }) => runsOfDocument(out),
  work: async (request) => {
    const { score, epoch, runs, dynamics } = request;
    const kind = [...passKind(request), score, epoch, dynamics !== undefined, runs > 1];
    return Promise.resolve({ kind, amount: runs });
  },
  run: async (request, context): Promise<DataScoring> => {
    const { data, score, runs, epoch, dynamics } = request;
    const { environment } = context;
    const out = resolve(request.out);
    const format = request.format ?? formatOf(out);
    const document = await scoreDataset(
      {
        ...{ data: resolve(data), options: datasetOptions(request), score, runs, epoch },
        ...{ proxy: proxyOf(request, environment), training: trainingOf(request) },
        folder: runsOfDocument(out),
        write: async (scored) => writeScores(out, scored, format),
      },
      context,
      seedSharingOf(request, environment),
      dynamics === undefined ? undefined : cartographyFiles(resolve(dynamics)),
    );
    const { examples, scoring, labelIssues, notes } = document;
    return {
      ...{ examples, runs, interRunSpearman: scoring?.interRunSpearman ?? null },
      seconds: scoring?.seconds ?? 0,
      suspected: labelIssues.filter((issue) => issue === 1).length,
      notes,
    };
  },
});
