import { readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { writeDocument } from '../core/jobs/write-document';
import type { LayerProfile, ProfileEvaluation } from '../core/prune/layer-profile';
import { parseLayerProfile } from '../core/prune/layer-profile-schema';
import type { Plan } from '../core/export/plan';
import { parsePlan } from '../core/export/plan-schema';
import { parseSensitivityProfile } from '../core/tensornet/sensitivity/sensitivity-profile-schema';
import type { SensitivityProfile } from '../core/tensornet/sensitivity/sensitivity-profile';
import { parseGssnnDocument } from '../core/symbolic/evolution/gssnn-document';
import type { GssnnDocument } from '../core/symbolic/evolution/gssnn-document';
import { modelStem } from './model-file';

/** `NAME.layerprofile.json` beside the model. */
export const profilePathOf = (model: string): string => `${modelStem(model)}.layerprofile.json`;

/** `NAME.sensitivity.json` beside the model. */
export const sensitivityPathOf = (model: string): string => `${modelStem(model)}.sensitivity.json`;

/** `NAME.plan.json` beside the model. */
export const planPathOf = (model: string): string => `${modelStem(model)}.plan.json`;

export const isProfile = (path: string): boolean => path.endsWith('.layerprofile.json');
/** `NAME.scores.json` beside the data set. */
export const scoresPathOf = (data: string): string =>
  `${data.replace(/(?<=[^\\/])\.(npz|npy|csv|tsv|jsonl|ndjson|parquet|bin|gz)$/i, '')}.scores.json`;

export const isScores = (path: string): boolean => path.endsWith('.scores.json');
export const isSensitivity = (path: string): boolean => path.endsWith('.sensitivity.json');
export const isPlan = (path: string): boolean => path.endsWith('.plan.json');

/** @throws UserError when the file is no profile. */
export async function readProfile(path: string): Promise<LayerProfile> {
  return parseLayerProfile(await readFile(path, 'utf8'), path);
}

/** @throws UserError when the file is no sensitivity table. */
export async function readSensitivity(path: string): Promise<SensitivityProfile> {
  return parseSensitivityProfile(await readFile(path, 'utf8'), path);
}

/** @throws UserError when the file is no plan. */
export async function readPlan(path: string): Promise<Plan> {
  return parsePlan(await readFile(path, 'utf8'), path);
}

/** @throws UserError when the file is no log of an evolution. */
export async function readEvolution(path: string): Promise<GssnnDocument> {
  return parseGssnnDocument(await readFile(path, 'utf8'), path);
}

/** Path of the model folder that a plan is for. */
export const modelPathOfPlan = (plan: Plan, planPath: string): string =>
  isAbsolute(plan.model.path) ? plan.model.path : resolve(dirname(planPath), plan.model.path);

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
