import { readDocument } from '../../documents/document-types';
import { writeDocument } from '../../jobs/write-document';
import type { ProfileEvaluation } from '../../prune/layer-profile';

/** Perplexities that were measured after a search. */
export interface KeepEvaluationsRequest {
  readonly profile: string;
  /** Fingerprint of the evaluated model. */
  readonly fingerprint: string;
  readonly evaluations: readonly ProfileEvaluation[];
}

/** Adds perplexities to a layer profile, unless it belongs to another model. */
export async function writeEvaluations({
  profile: file,
  fingerprint,
  evaluations,
}: KeepEvaluationsRequest): Promise<null> {
  const profile = await readDocument('layerProfile', file);
  if (profile.model.fingerprint === fingerprint) {
    await writeDocument(file, { ...profile, evaluations });
  }
  return null;
}
