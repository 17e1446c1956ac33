/** Default location: next to the model, dataset, text or main output; `asked` documents need an explicit path. */
export type DocumentPlace = 'model' | 'data' | 'text' | 'output' | 'asked';

/** Naming of a document type's files, and their `format` field. */
export interface DocumentName {
  /** Suffix of the file's name. */
  readonly suffix: string;
  /** Value of its field `format`. */
  readonly format: string;
  readonly nextTo: DocumentPlace;
}

/** Name of the document that records the source and the changes of a written model. */
export const manifestName = 'espalier.json';

/** Suffix of files that hold a request, as `--print-config` prints them and `--config` reads them. */
export const requestSuffix = '.request.json';

/** Documents that Espalier writes for people to keep. Their schemas: core/documents. */
export const documentNames = {
  layerProfile: {
    suffix: '.layerprofile.json',
    format: 'espalier.layerprofile',
    nextTo: 'model',
  },
  plan: { suffix: '.plan.json', format: 'espalier.plan', nextTo: 'model' },
  sensitivity: { suffix: '.sensitivity.json', format: 'espalier.sensitivity', nextTo: 'model' },
  scores: { suffix: '.scores.json', format: 'espalier.scores', nextTo: 'data' },
  textScores: { suffix: '.textscores.json', format: 'espalier.textscores', nextTo: 'text' },
  selection: { suffix: '.selection.json', format: 'espalier.selection', nextTo: 'output' },
  experiment: { suffix: '.datadiet.json', format: 'espalier.datadiet', nextTo: 'data' },
  evaluation: { suffix: '.evaluation.json', format: 'espalier.evaluation', nextTo: 'asked' },
  evolution: { suffix: '.gssnn.json', format: 'espalier.gssnn', nextTo: 'output' },
} as const satisfies Readonly<Record<string, DocumentName>>;

export type DocumentId = keyof typeof documentNames;

export const documentIds = Object.keys(documentNames) as DocumentId[];

/** True if a file has the suffix of a document type. */
export function isDocument(id: DocumentId, path: string): boolean {
  return path.endsWith(documentNames[id].suffix);
}

/** Document type by a file's suffix. */
export function findDocumentType(path: string): DocumentId | undefined {
  return documentIds.find((id) => isDocument(id, path));
}

/** Matches the files of a type in a workspace. */
export function documentGlob(id: DocumentId): string {
  return `**/*${documentNames[id].suffix}`;
}

const modelFile = /\.(?:gguf|onnx)$/i;
const dataFile = /(?<=[^\\/])\.(?:npz|npy|csv|tsv|jsonl|ndjson|parquet|bin|gz)$/i;

/** Path of `NAME<suffix>` next to a model (its folder or file) or a dataset. */
export function defaultDocumentPath(id: DocumentId, source: string): string {
  const { suffix, nextTo } = documentNames[id];
  return `${source.replace(nextTo === 'data' ? dataFile : modelFile, '')}${suffix}`;
}
