import { readFile } from 'node:fs/promises';
import { parseTextScores } from '../data/text-scores';
import { parseExperiment } from '../datadiet/experiment-document';
import { parseScoreDocument } from '../datadiet/score-document';
import { parseSelection } from '../datadiet/selection-document';
import type { DocumentId } from '../document-names';
import { parsePlan } from '../export/plan-schema';
import { parseLayerProfile } from '../prune/layer-profile-schema';
import { parseGssnnDocument } from '../symbolic/evolution/gssnn-document';
import { parseSensitivityProfile } from '../tensornet/sensitivity/sensitivity-profile-schema';
import { UserError } from '../user-error';

/** What a document is called, and how its text is read. */
interface DocumentType {
  /** With its article, as sentences have it. */
  readonly what: string;
  /** @throws UserError naming the file and the field. */
  readonly parse: (text: string, file: string) => unknown;
}

/** The types of documents, by their names in {@link documentNames}. */
export const documentTypes = {
  layerProfile: { what: 'a layer profile', parse: parseLayerProfile },
  plan: { what: 'a plan', parse: parsePlan },
  sensitivity: { what: 'a sensitivity profile', parse: parseSensitivityProfile },
  scores: { what: 'data scores', parse: parseScoreDocument },
  textScores: { what: 'scores of a text', parse: parseTextScores },
  selection: { what: 'a selection of examples', parse: parseSelection },
  experiment: { what: 'an experiment with subsets', parse: parseExperiment },
  evolution: { what: 'the log of an evolution', parse: parseGssnnDocument },
} as const satisfies Readonly<Record<DocumentId, DocumentType>>;

export type DocumentContent<Id extends DocumentId> = ReturnType<
  (typeof documentTypes)[Id]['parse']
>;

/**
 * Reads a document.
 * @throws UserError where the file is missing or not such a document.
 */
export async function readDocument<Id extends DocumentId>(
  id: Id,
  file: string,
): Promise<DocumentContent<Id>> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new UserError(`The file cannot be read: ${(error as Error).message}.`, {
      file,
      remedy: `Choose ${documentTypes[id].what}.`,
    });
  });
  const { parse }: { readonly parse: (text: string, file: string) => unknown } = documentTypes[id];
  return parse(text, file) as DocumentContent<Id>;
}
