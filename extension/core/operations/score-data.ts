import { resolve } from 'node:path';
import * as v from 'valibot';
import { DataIssues } from '../datadiet/neighbors/data-issues';
import { layouts, maxUmap } from '../datadiet/neighbors/issue-kinds';
import { cartographyFiles } from '../datadiet/scores/read-dynamics';
import { classCounts } from '../datadiet/data-map';
import { scoreKinds } from '../datadiet/scores/score-document';
import type { ScoreDocument } from '../datadiet/scores/score-document';
import { scoreDataset } from '../datadiet/scores/score-dataset';
import { writeScores } from '../datadiet/scores/score-files';
import { scoreFormatFromPath, scoreFormats } from '../datadiet/scores/score-format';
import { documentRunsFolder } from '../jobs/work-folder';
import { dataField, datasetFields, datasetOptions } from './data-fields';
import { choice, integer, newFile, path } from './fields';
import { defineOperation } from './operation';
import { replaces } from './rules';
import { payingSharingFields, sharingNames, sharingRules } from './sharing';
import {
  passKind,
  proxyRequest,
  seedSharing,
  trainingFields,
  trainingSettings,
} from './training-fields';
import { say } from '../message';
import { countPhrase } from './outcomes';

/** File formats of scores. */
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

/** Result of scoring a dataset. */
export interface DataScoring {
  readonly examples: number;
  readonly runs: number;
  /** Mean of Spearman's correlation over pairs of runs; null for one run. */
  readonly interRunSpearman: number | null;
  /** Duration of all runs together. */
  readonly seconds: number;
  /** Number of labels that may be wrong. */
  readonly suspected: number;
  /** Examples that are copies or near-duplicates of an earlier one. */
  readonly duplicates: number;
  /** Examples that are far from all others. */
  readonly outliers: number;
  /** Classes with suspected labels, those with the most first, at most 20. */
  readonly labelIssues: readonly {
    readonly class: string;
    readonly examples: number;
    readonly suspected: number;
    /** Most frequent wrong prediction, and its frequency. */
    readonly predicted: string;
    readonly times: number;
  }[];
  readonly notes: readonly string[];
}

/** Maximum number of classes listed. */
const mostClasses = 20;

function classIssues(document: ScoreDocument): DataScoring['labelIssues'] {
  const classes = classCounts(document);
  return classes
    .flatMap(({ name, examples, suspected = 0, confused }) =>
      confused === undefined
        ? []
        : [
            {
              ...{ class: name, examples, suspected, times: confused.examples },
              predicted: classes[confused.label]?.name ?? String(confused.label),
            },
          ],
    )
    .sort((a, b) => b.suspected - a.suspected)
    .slice(0, mostClasses);
}

export const scoreData = defineOperation({
  id: 'score-data',
  title: 'Score Dataset',
  verb: 'Scoring',
  summary: 'Score how much each example of a dataset matters for training.',
  group: 'data',
  fields: {
    data: dataField,
    out: newFile('scores', { description: 'File for the scores', required: true }),
    format: scoreFormatField,
    score: choice(scoreKinds, {
      description: 'Score to compute',
      default: 'el2n',
      placeholder: 'SCORE',
    }),
    runs: runsField,
    epoch: integer({
      description: 'Epochs to train before scoring; 0 scores at initialization',
      default: 3,
      min: 0,
    }),
    dynamics: path({
      description: 'Also write the training dynamics of the run with seed 0 into this folder',
      placeholder: 'DIR',
    }),
    embedding: choice([...layouts, 'none'], {
      description:
        'Map of the examples from features of the run with seed 0, with near-duplicates and outliers',
      fallback: `umap up to ${maxUmap} examples, else pca`,
      placeholder: 'MAP',
    }),
    ...payingSharingFields,
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
    duplicates: v.number(),
    outliers: v.number(),
  }),
  trust: 'run',
  resume: ({ out }) => documentRunsFolder(out),
  work: async (request) => {
    const { score, epoch, runs, dynamics } = request;
    const kind = [
      ...passKind(request),
      score,
      epoch,
      dynamics !== undefined,
      runs > 1,
      request.embedding,
    ];
    return Promise.resolve({ kind, amount: runs });
  },
  run: async (request, context): Promise<DataScoring> => {
    const { data, score, runs, epoch, dynamics, embedding } = request;
    const { environment } = context;
    const out = resolve(request.out);
    const format = request.format ?? scoreFormatFromPath(out);
    const document = await scoreDataset(
      {
        ...{ data: resolve(data), options: datasetOptions(request), score, runs, epoch },
        ...{ proxy: proxyRequest(request, environment), training: trainingSettings(request) },
        ...(embedding === 'none' ? {} : { embedding: { layout: embedding } }),
        folder: documentRunsFolder(out),
        write: async (scored) => writeScores(out, scored, format),
      },
      context,
      seedSharing(request, environment),
      dynamics === undefined ? undefined : cartographyFiles(resolve(dynamics)),
    );
    const { examples, scoring, notes } = document;
    const issues = new DataIssues(document);
    return {
      ...{ examples, runs, interRunSpearman: scoring?.interRunSpearman ?? null },
      seconds: scoring?.seconds ?? 0,
      suspected: issues.affected('suspected').length,
      duplicates: issues.affected('duplicates').length,
      outliers: issues.affected('outliers').length,
      labelIssues: classIssues(document),
      notes,
    };
  },
  presentation: {
    panel: 'dataMap',
    document: 'out',
    outcome: ({ examples, suspected }) => ({
      summary: say`Scored ${countPhrase(examples, 'example')}: ${countPhrase(suspected, 'suspected label error')}.`,
      shown: true,
    }),
  },
});
