import { resolve } from 'node:path';
import * as v from 'valibot';
import { runDiet } from '../datadiet/subsets/diet-experiment';
import type { DietRequest, DietResult, ScoreChoice } from '../datadiet/subsets/diet-experiment';
import { comparisonSteps } from '../datadiet/subsets/diet-work';
import type { Comparison } from '../datadiet/subsets/diet-work';
import { scoreKinds } from '../datadiet/scores/score-document';
import { policies } from '../datadiet/subsets/selection';
import type { Policy } from '../datadiet/subsets/selection';
import { documentRunsFolder } from '../jobs/work-folder';
import { writeDocument } from '../jobs/write-document';
import { dataField, datasetFields, datasetOptions, testField } from './data-fields';
import { choice, integer, list, newFile, number, numbers } from './fields';
import { defineOperation } from './operation';
import { actsOnlyWith, needs } from './rules';
import { runsField } from './score-data';
import { unbalancedField } from './selection-fields';
import { payingSharingFields, sharingRules } from './sharing';
import {
  passKind,
  proxyRequest,
  seedSharing,
  trainingFields,
  trainingSettings,
} from './training-fields';
import { say } from '../message';
import { countPhrase } from './outcomes';

export const dataDiet = defineOperation({
  id: 'data-diet',
  title: 'Compare Subsets',
  verb: 'Comparing subsets of',
  summary:
    'Compare training on the highest-scoring examples with random subsets and the full dataset.',
  group: 'data',
  fields: {
    data: dataField,
    test: testField,
    out: newFile('experiment', {
      description: 'File for the result (*.datadiet.json)',
      required: true,
    }),
    score: list({
      description: `Scores to choose by, each with the epochs to train before: ${scoreKinds.join(', ')}`,
      default: ['el2n@3'],
      placeholder: 'SCORE@EPOCH,…',
      form: {
        pattern: new RegExp(`^(${scoreKinds.join('|')})@\\d+$`),
        takes: say`some of ${scoreKinds.join(', ')}, each with an epoch such as el2n@3`,
      },
    }),
    runs: runsField,
    keep: numbers({
      description: 'Fractions of the examples to keep',
      default: [0.5, 0.2],
      placeholder: 'R,…',
      above: 0,
      max: 1,
    }),
    policy: list({
      description: 'Keep the highest scores, or the highest after --offset; random is always added',
      choices: policies,
      default: ['max', 'window'],
      placeholder: 'POLICY,…',
    }),
    offset: numbers({
      description:
        'Fractions of the examples with the highest scores to drop; validation data choose among them',
      default: [0, 0.05, 0.1, 0.2, 0.3],
      placeholder: 'R,…',
      min: 0,
      max: 1,
    }),
    unbalanced: unbalancedField,
    epochs: integer({ description: 'Passes over the full dataset', default: 3, min: 1 }),
    seeds: integer({ description: 'Trainings on each subset', default: 3, min: 1 }),
    iso: choice(['steps', 'epochs'], {
      description: 'Quantity that is equal for all subsets',
      default: 'steps',
      placeholder: 'QUANTITY',
    }),
    noise: number({
      description: 'Fraction of the labels to flip, below 1',
      fallback: 'none',
      placeholder: 'R',
      above: 0,
      max: 1,
    }),
    noiseSeed: integer({ description: 'Seed of the flipped labels', default: 0, min: 0 }),
    ...payingSharingFields,
    ...datasetFields,
    ...trainingFields,
  },
  rules: [
    ...sharingRules,
    actsOnlyWith('offset', 'policy', ['window']),
    needs('noiseSeed', 'noise'),
  ],
  result: v.looseObject({
    rows: v.array(
      v.looseObject({
        choice: v.string(),
        keep: v.number(),
        examples: v.number(),
        steps: v.number(),
        mean: v.number(),
      }),
    ),
  }),
  trust: 'run',
  resume: ({ out }) => documentRunsFolder(out),
  work: async (request) =>
    Promise.resolve({
      kind: [...passKind(request), request.score, request.iso],
      amount: comparisonSteps(requestedComparison(request), (share) => share),
    }),
  run: async (request, context): Promise<DietResult> => {
    const { data, test, noise, unbalanced, noiseSeed } = request;
    const { environment } = context;
    const out = resolve(request.out);
    return runDiet(
      {
        ...{
          data: resolve(data),
          options: datasetOptions(request),
          folder: documentRunsFolder(out),
        },
        ...(test === undefined ? {} : { test: resolve(test) }),
        ...{ proxy: proxyRequest(request, environment), training: trainingSettings(request) },
        ...requestedComparison(request),
        balanced: !unbalanced,
        ...(noise === undefined ? {} : { noise: { rate: noise, seed: noiseSeed } }),
      },
      context,
      seedSharing(request, environment),
      async (result) => writeDocument(out, result),
    );
  },
  presentation: {
    panel: 'dataMap',
    document: 'data',
    updates: (_, { data }) => [{ kind: 'dataset', data }],
    opens: 'editor',
    outcome: ({ rows }) => ({
      summary: say`Compared ${countPhrase(rows.length, 'subset')}.`,
      shown: true,
    }),
  },
});

/** Comparison that a request asks for. */
function requestedComparison(asked: Asked): Pick<DietRequest, keyof Comparison> {
  const { score, policy, offset: offsets, runs, keep, epochs, seeds, iso } = asked;
  const policies = policy.filter((one) => one !== 'random');
  return { scores: score.map(scoreChoice), policies, offsets, runs, keep, epochs, seeds, iso };
}

type Asked = Omit<Comparison, 'scores' | 'policies' | 'offsets'> & {
  readonly score: readonly string[];
  readonly policy: readonly Policy[];
  readonly offset: readonly number[];
};

/** `el2n@3` */
function scoreChoice(text: string): ScoreChoice {
  const [name, epoch] = text.split('@');
  return { kind: scoreKinds.find((kind) => kind === name) ?? 'el2n', epoch: Number(epoch) };
}
