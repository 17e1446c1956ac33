/** What a document lies beside where nobody says otherwise; `asked` is written only where its path is given. */
export type DocumentPlace = 'model' | 'data' | 'text' | 'output' | 'asked';

/** How files of a document are named and marked. */
export interface DocumentName {
  /** End of the file's name. */
  readonly suffix: string;
  /** Value of its field `format`. */
  readonly format: string;
  readonly beside: DocumentPlace;
}

/** The document beside a model that Espalier wrote: where it comes from and what is different. */
export const manifestName = 'espalier.json';

/** Suffix of files that hold a request, as `--print-config` prints them and `--config` reads them. */
export const requestSuffix = '.request.json';

/** Documents that Espalier writes for people to keep. Their schemas: core/documents. */
export const documentNames = {
  layerProfile: {
    suffix: '.layerprofile.json',
    format: 'espalier.layerprofile',
    beside: 'model',
  },
  plan: { suffix: '.plan.json', format: 'espalier.plan', beside: 'model' },
  sensitivity: { suffix: '.sensitivity.json', format: 'espalier.sensitivity', beside: 'model' },
  scores: { suffix: '.scores.json', format: 'espalier.scores', beside: 'data' },
  textScores: { suffix: '.textscores.json', format: 'espalier.textscores', beside: 'text' },
  selection: { suffix: '.selection.json', format: 'espalier.selection', beside: 'output' },
  experiment: { suffix: '.datadiet.json', format: 'espalier.datadiet', beside: 'data' },
  evaluation: { suffix: '.evaluation.json', format: 'espalier.evaluation', beside: 'asked' },
  evolution: { suffix: '.gssnn.json', format: 'espalier.gssnn', beside: 'output' },
} as const satisfies Readonly<Record<string, DocumentName>>;

export type DocumentId = keyof typeof documentNames;

export const documentIds = Object.keys(documentNames) as DocumentId[];

/** Whether a file is named as a document of one type. */
export function isDocument(id: DocumentId, path: string): boolean {
  return path.endsWith(documentNames[id].suffix);
}

/** The type that a file is named for. */
export function documentOf(path: string): DocumentId | undefined {
  return documentIds.find((id) => isDocument(id, path));
}

/** Matches the files of a type in a workspace. */
export function documentGlob(id: DocumentId): string {
  return `**/*${documentNames[id].suffix}`;
}

const modelFile = /\.(?:gguf|onnx)$/i;
const dataFile = /(?<=[^\\/])\.(?:npz|npy|csv|tsv|jsonl|ndjson|parquet|bin|gz)$/i;

/** `NAME<suffix>` beside a model, by the path of its folder or file, or beside a data set. */
export function defaultDocumentPath(id: DocumentId, source: string): string {
  const { suffix, beside } = documentNames[id];
  return `${source.replace(beside === 'data' ? dataFile : modelFile, '')}${suffix}`;
}
