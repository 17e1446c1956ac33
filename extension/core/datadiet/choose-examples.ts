import { UserError } from '../user-error';
import { scoresOf } from './scores/score-document';
import type { ScoreDocument } from './scores/score-document';
import { selectExamples } from './subsets/selection';
import type { SelectionRequest } from './subsets/selection';
import { selectionDocument } from './subsets/selection-document';
import type { SelectionDocument } from './subsets/selection-document';
import { say } from '../message';

/** A choice by score among some examples, which are named by their indices. */
export interface Choice {
  readonly request: SelectionRequest;
  /** Those chosen from; all where absent. */
  readonly only?: readonly number[] | undefined;
  /** Those never chosen. */
  readonly leaveOut?: readonly number[] | undefined;
}

/**
 * Chooses examples by the scores and labels of a document.
 * @throws UserError as {@link selectExamples}, and where an index is that of no example.
 */
export function chooseExamples(
  document: ScoreDocument,
  { request, only, leaveOut = [] }: Choice,
): SelectionDocument {
  const { examples } = document;
  checkIndices('only', only ?? [], examples);
  checkIndices('leaveOut', leaveOut, examples);
  const labels = Int32Array.from(document.labels);
  const out = new Set(leaveOut);
  const all = only ?? Array.from({ length: examples }, (_, index) => index);
  const among = Int32Array.from(new Set(all.filter((index) => !out.has(index))));
  const known = labels.length === 0 ? undefined : labels;
  const indices = selectExamples(scoresOf(document), known, request, among);
  return selectionDocument(document, labels, request, indices);
}

function checkIndices(field: string, indices: readonly number[], examples: number): void {
  const fault = indices.find((index) => !(index >= 0 && index < examples));
  if (fault !== undefined) {
    throw new UserError(say`There is no example ${fault}: indices run from 0 to ${examples - 1}.`, {
      field,
    });
  }
}
