import { stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { defaultDocumentPath, isDocument } from '../../core/document-names';
import type { DocumentId } from '../../core/document-names';
import { readDocument } from '../../core/documents/document-types';
import type { DocumentContent } from '../../core/documents/document-types';
import type { Plan } from '../../core/plans/plan';
import { writeDocument } from '../../core/jobs/write-document';
import type { ModelSummary } from '../../core/models/model-summary';
import type { ProfileEvaluation } from '../../core/prune/layer-profile';
import { isModelFile } from './model-file';

const beside =
  (id: DocumentId) =>
  (source: string): string =>
    defaultDocumentPath(id, source);
export const profilePathOf = beside('layerProfile');
export const sensitivityPathOf = beside('sensitivity');
export const planPathOf = beside('plan');
export const scoresPathOf = beside('scores');

const named =
  (id: DocumentId) =>
  (path: string): boolean =>
    isDocument(id, path);
export const isProfile = named('layerProfile');
export const isScores = named('scores');
export const isSensitivity = named('sensitivity');
export const isPlan = named('plan');

const reader =
  <Id extends DocumentId>(id: Id) =>
  async (path: string): Promise<DocumentContent<Id>> =>
    readDocument(id, path);
export const readProfile = reader('layerProfile');
export const readSensitivity = reader('sensitivity');
export const readPlan = reader('plan');
export const readEvolution = reader('evolution');

/** Path of the model folder that a plan is for. */
export const modelPathOfPlan = (plan: Plan, planPath: string): string =>
  isAbsolute(plan.model.path) ? plan.model.path : resolve(dirname(planPath), plan.model.path);

/** Where the model of a document is: where it was, or beside the document; undefined where it is at neither. */
export async function findModel(
  { path, name }: Pick<ModelSummary, 'path' | 'name'>,
  document: string,
): Promise<string | undefined> {
  const isFile = isModelFile(path);
  for (const place of [path, join(dirname(document), isFile ? basename(path) : name)]) {
    if (await fileExists(isFile ? place : join(place, 'config.json'))) {
      return place;
    }
  }
  return undefined;
}

/** Puts perplexities that were measured after the search into the profile they belong to. */
export async function keepEvaluations(
  path: string,
  fingerprint: string,
  evaluations: readonly ProfileEvaluation[],
): Promise<void> {
  if (!(await fileExists(path))) {
    return;
  }
  const profile = await readProfile(path);
  if (profile.model.fingerprint === fingerprint) {
    await writeDocument(path, { ...profile, evaluations });
  }
}

export async function fileExists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
