import type * as v from 'valibot';
import { parseTextScores, textScoresSchema } from '../data/text-scores';
import { experimentSchema, parseExperiment } from '../datadiet/subsets/experiment-document';
import { parseScoreDocument, scoresSchema } from '../datadiet/scores/score-document';
import { parseSelection, selectionSchema } from '../datadiet/subsets/selection-document';
import type { DocumentId } from '../document-names';
import { evaluationSchema, parseEvaluation } from '../evaluate/evaluation-document';
import { parsePlan, planSchema } from '../plans/plan-schema';
import { shownProfile } from '../prune/layer-profile';
import { layerProfileSchema, parseLayerProfile } from '../prune/layer-profile-schema';
import { viewEvolution } from '../symbolic/evolution/evolution-view';
import type { EvolutionView } from '../symbolic/evolution/evolution-view';
import { evolutionSchema, parseGssnnDocument } from '../symbolic/evolution/gssnn-document';
import type { GssnnDocument } from '../symbolic/evolution/gssnn-document';
import {
  parseSensitivityProfile,
  sensitivityProfileSchema,
} from '../tensornet/sensitivity/sensitivity-profile-schema';
import { readSmallText } from '../regular-file';

/** Name, parser and schema of a document type. */
interface DocumentType {
  /** With its article, as sentences have it. */
  readonly what: string;
  /** @throws UserError naming the file and the field. */
  readonly parse: (text: string, file: string) => unknown;
  /** Schema of the content. Documents are untrusted, so content is validated before use. */
  readonly schema: v.GenericSchema;
  /** Part of the content that editors show; all of it if absent. */
  readonly show?: (content: never) => unknown;
  /** Fields with paths of other files, which commands that read it open. */
  readonly paths: readonly string[];
}

/** The types of documents, by their names in {@link documentNames}. */
export const documentTypes = {
  layerProfile: {
    what: 'a layer profile',
    parse: parseLayerProfile,
    schema: layerProfileSchema,
    show: shownProfile,
    paths: ['model.path'],
  },
  plan: {
    what: 'a plan',
    parse: parsePlan,
    schema: planSchema,
    paths: ['model.path', 'patch.file'],
  },
  sensitivity: {
    what: 'a sensitivity profile',
    parse: parseSensitivityProfile,
    schema: sensitivityProfileSchema,
    paths: ['model.path'],
  },
  scores: {
    what: 'data scores',
    parse: parseScoreDocument,
    schema: scoresSchema,
    paths: ['dataset.path'],
  },
  textScores: {
    what: 'scores of a text',
    parse: parseTextScores,
    schema: textScoresSchema,
    paths: ['text.source'],
  },
  selection: {
    what: 'a selection of examples',
    parse: parseSelection,
    schema: selectionSchema,
    paths: [],
  },
  experiment: {
    what: 'an experiment with subsets',
    parse: parseExperiment,
    schema: experimentSchema,
    paths: [],
  },
  evaluation: {
    what: 'an evaluation',
    parse: parseEvaluation,
    schema: evaluationSchema,
    paths: ['evaluated.path'],
  },
  evolution: {
    what: 'the log of an evolution',
    parse: parseGssnnDocument,
    schema: evolutionSchema,
    show: (document: GssnnDocument): EvolutionView => viewEvolution({ ...document, models: [] }),
    paths: [],
  },
} as const satisfies Readonly<Record<DocumentId, DocumentType>>;

export type DocumentContent<Id extends DocumentId> = ReturnType<
  (typeof documentTypes)[Id]['parse']
>;

/** Part of a document's content that editors show. */
export type ShownContent<Id extends DocumentId> = (typeof documentTypes)[Id] extends {
  readonly show: (content: never) => infer Shown;
}
  ? Shown
  : DocumentContent<Id>;

/**
 * Returns the part of a document's content that editors show.
 * @param text content of the file, if it has been read already
 * @throws UserError if the file is missing or not such a document.
 */
export async function showDocument(id: DocumentId, file: string, text?: string): Promise<unknown> {
  const { parse, show }: DocumentType = documentTypes[id];
  const content = text === undefined ? await readDocument(id, file) : parse(text, file);
  return show === undefined ? content : show(content as never);
}

/**
 * Reads a document.
 * @throws UserError if the file is missing or not such a document.
 */
export async function readDocument<Id extends DocumentId>(
  id: Id,
  file: string,
): Promise<DocumentContent<Id>> {
  const text = await readSmallText(file);
  const { parse }: { readonly parse: (text: string, file: string) => unknown } = documentTypes[id];
  return parse(text, file) as DocumentContent<Id>;
}
