import { readDocument, showDocument } from '../core/documents/document-types';
import { writeDocument } from '../core/jobs/write-document';
import type { DocumentRequest, KeepEvaluationsRequest } from '../protocol/worker';

export { viewEvolution } from '../core/symbolic/evolution/evolution-view';

/** What is shown of a document. */
export async function document({ id, file, text }: DocumentRequest): Promise<unknown> {
  return showDocument(id, file, text);
}

/** Puts perplexities into a layer profile, unless it is of another model. */
export async function keepEvaluations({
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
