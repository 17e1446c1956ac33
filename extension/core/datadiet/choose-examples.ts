import { UserError } from '../user-error';
import { DataIssues } from './neighbors/data-issues';
import type { IssueKind } from './neighbors/issue-kinds';
import { scoreValues } from './scores/score-document';
import type { ScoreDocument } from './scores/score-document';
import { selectExamples } from './subsets/selection';
import type { SelectionRequest } from './subsets/selection';
import { selectionDocument } from './subsets/selection-document';
import type { NewLabel, SelectionDocument } from './subsets/selection-document';
import { say } from '../message';

/** Selection of examples by score. Examples are named by their indices. */
export interface Choice {
  readonly request: SelectionRequest;
  /** Candidate examples; all by default. */
  readonly only?: readonly number[] | undefined;
  /** Examples that are never selected. */
  readonly leaveOut?: readonly number[] | undefined;
  /** Issues whose examples are excluded. The first of each group of duplicates may be selected. */
  readonly without?: readonly IssueKind[] | undefined;
  /** Minimum cosine similarity of duplicates. */
  readonly similarity?: number | undefined;
  /** Examples that get a new class. They are selected by their current one. */
  readonly relabeled?: readonly NewLabel[] | undefined;
  /** True to relabel suspected examples with the predicted class, unless they are in `relabeled`. */
  readonly suggested?: boolean | undefined;
}

/**
 * Selects examples by the scores and labels of a document.
 * @throws UserError as {@link selectExamples}, and for an index out of range.
 */
export function chooseExamples(
  document: ScoreDocument,
  { request, only, leaveOut = [], without = [], similarity, ...labels }: Choice,
  issues = new DataIssues(document),
): SelectionDocument {
  const { examples } = document;
  checkIndices('only', only ?? [], examples);
  checkIndices('leaveOut', leaveOut, examples);
  const out = new Set(leaveOut);
  for (const index of without.flatMap((kind) => issues.leaveOut(kind, similarity))) {
    out.add(index);
  }
  const all = only ?? Array.from({ length: examples }, (_, index) => index);
  const among = Int32Array.from(new Set(all.filter((index) => !out.has(index))));
  const classes = Int32Array.from(document.labels);
  const known = classes.length === 0 ? undefined : classes;
  const indices = selectExamples(scoreValues(document), known, request, among);
  const chosen = new Set(indices);
  const relabeled = newLabels(document, labels).filter(({ index }) => chosen.has(index));
  return selectionDocument(document, classes, request, indices, relabeled);
}

/** New labels, in ascending order of examples. */
function newLabels(
  document: ScoreDocument,
  { relabeled = [], suggested = false }: Pick<Choice, 'relabeled' | 'suggested'>,
): NewLabel[] {
  const { labelIssues, predicted, classNames, examples } = document;
  checkIndices(
    'relabel',
    relabeled.map(({ index }) => index),
    examples,
  );
  const labels = new Map<number, string>();
  labelIssues.forEach((issue, index) => {
    const other = classNames[predicted[index] ?? -1];
    if (suggested && issue === 1 && other !== undefined) {
      labels.set(index, other);
    }
  });
  for (const { index, label } of relabeled) {
    if (!classNames.includes(label)) {
      throw new UserError('class-unknown', say`There is no class ${label}.`, {
        field: 'relabel',
        remedy: say`The classes are ${classNames.slice(0, 20).join(', ')}.`,
      });
    }
    labels.set(index, label);
  }
  return [...labels].map(([index, label]) => ({ index, label })).sort((a, b) => a.index - b.index);
}

/** @throws UserError if an index is out of range. */
export function checkIndices(field: string, indices: readonly number[], examples: number): void {
  const fault = indices.find((index) => !(index >= 0 && index < examples));
  if (fault !== undefined) {
    throw new UserError(
      'example-index-invalid',
      say`There is no example ${fault}: indices range from 0 to ${examples - 1}.`,
      { field, remedy: undefined },
    );
  }
}
