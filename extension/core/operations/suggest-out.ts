import { locateModel, locateOnnx } from '../checkpoints/model-folder';
import { defaultDocumentPath } from '../document-names';
import type { DocumentId } from '../document-names';

/** Default path of a document: next to the model. */
export async function pathNextToModel(id: DocumentId, model: string): Promise<string> {
  return defaultDocumentPath(id, (await locateOnnx(model)) ?? (await locateModel(model)).path);
}
