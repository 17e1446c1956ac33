import { resolve } from 'node:path';
import type { Dataset } from '../data/datasets/dataset';
import { chooseExamples } from '../datadiet/choose-examples';
import { defaultSimilarity, issueKinds } from '../datadiet/neighbors/issue-kinds';
import { openScored } from '../datadiet/scores/scored-data';
import type { ScoreDocument } from '../datadiet/scores/score-document';
import { policies } from '../datadiet/subsets/selection';
import type { SelectionDocument } from '../datadiet/subsets/selection-document';
import { UserError } from '../user-error';
import { datasetOptions } from './data-fields';
import type { datasetFields } from './data-fields';
import { choice, flag, integer, integers, list, number } from './fields';
import type { GivenOf, RequestOf } from './fields';
import { actsOnlyWith, needs } from './rules';
import { say } from '../message';

export const keepFacts = {
  description: 'Fraction of the examples to keep',
  placeholder: 'R',
  above: 0,
  max: 1,
} as const;

/** Balance field of operations that choose examples. */
export const unbalancedField = flag({
  description: 'Choose among all examples together instead of the same share of every class',
  default: false,
});

/** Pattern of an example's index and its new class. */
const newLabel = /^(\d+)=(.+)$/s;

/** Fields that choose examples by their scores, besides the fraction to keep. */
export const selectionFields = {
  policy: choice(policies, {
    description: 'Keep the highest scores, the highest after --offset, or random ones',
    default: 'max',
    placeholder: 'POLICY',
  }),
  offset: number({
    description: 'Fraction of the examples with the highest scores to drop',
    placeholder: 'R',
    min: 0,
    max: 1,
  }),
  unbalanced: unbalancedField,
  seed: integer({
    description: 'Seed of random choices and of the order of equal scores',
    default: 0,
    min: 0,
  }),
  only: integers({
    description: 'Indices of the examples to choose from',
    fallback: 'all',
    placeholder: 'N,…',
    min: 0,
  }),
  leaveOut: integers({
    description: 'Indices of examples that are never chosen',
    placeholder: 'N,…',
    min: 0,
  }),
  without: list({
    description: 'Issues whose examples are never chosen; the first of duplicates is kept',
    choices: issueKinds,
    placeholder: 'ISSUE,…',
  }),
  similarity: number({
    description: 'Minimum cosine of embeddings of duplicates',
    fallback: String(defaultSimilarity),
    placeholder: 'X',
    above: 0,
    max: 1,
  }),
  relabel: list({
    description: 'New labels of examples in the written dataset',
    form: { pattern: newLabel, takes: say`labels as INDEX=CLASS` },
    placeholder: 'INDEX=CLASS,…',
  }),
  suggestedLabels: flag({
    description: 'Give suspected labels the class that the models predict',
    default: false,
  }),
};

export const selectionRules = [
  actsOnlyWith('offset', 'policy', ['window']),
  needs('similarity', 'without'),
];

interface ChoiceRequest extends RequestOf<typeof selectionFields> {
  readonly keep: number;
}

/** @throws UserError if nothing is selected, or a requested selection isn't possible */
export function chooseByScores(
  scored: ScoreDocument,
  { keep, policy, offset, unbalanced, seed, relabel, suggestedLabels, ...others }: ChoiceRequest,
): SelectionDocument {
  const request = {
    ...{ keep, policy, balanced: !unbalanced, seed },
    ...(offset === undefined ? {} : { offset }),
  };
  const chosen = chooseExamples(scored, {
    ...{ request, ...others, suggested: suggestedLabels },
    relabeled: relabel?.map((text) => {
      const [, index, label = ''] = newLabel.exec(text) ?? [];
      return { index: Number(index), label };
    }),
  });
  if (chosen.kept === 0) {
    throw new UserError('no-example-chosen', say`No example is chosen.`, {
      remedy: say`Keep a larger share, or leave fewer examples out.`,
    });
  }
  return chosen;
}

/**
 * Opens the dataset of some scores, with their labels.
 * @throws UserError if it isn't the dataset that was scored.
 */
export async function openLabelled(
  scored: ScoreDocument,
  { data, ...given }: GivenOf<typeof datasetFields> & { readonly data: string },
): Promise<{ readonly scored: ScoreDocument; readonly dataset: Dataset }> {
  const path = resolve(data);
  const { dataset, options } = await openScored(scored, path, datasetOptions(given));
  const { name, fingerprint, labels, classNames } = dataset;
  const opened = { path, name, fingerprint, options };
  return {
    scored: { ...scored, labels: [...labels], classNames: [...classNames], dataset: opened },
    dataset,
  };
}
