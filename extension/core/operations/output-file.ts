import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { baseMagic } from '../evaluate/base-probabilities';
import { scoreFormatFromPath } from '../datadiet/scores/score-format';
import type { ScoreFormat } from '../datadiet/scores/score-format';
import { documentNames, defaultDocumentPath } from '../document-names';
import type { DocumentId } from '../document-names';
import { documentTypes, readDocument } from '../documents/document-types';
import { writeDocument } from '../jobs/write-document';
import { say } from '../message';
import type { Plan } from '../plans/plan';
import { readStart } from '../regular-file';
import { reportMark, reportSuffixes } from '../report/report';
import { UserError } from '../user-error';
import { locateModel, locateOnnx } from '../checkpoints/model-folder';

/** Kinds of files that operations write: documents, and files for other programs and for people. */
export type FileKind = DocumentId | 'report' | 'importance' | 'study' | 'baseProbabilities';

/** Naming of a file, and the existing files it may replace. */
interface OutputFile {
  /** Noun with its article, for errors: "a plan". */
  readonly what: string;
  /** Allowed suffixes of its name. */
  readonly suffixes: readonly string[];
  /** True if an existing file is of this kind. Without it, no existing file is replaced. */
  readonly isOne?: (file: string) => Promise<boolean>;
}

/** The file that a request asks for. */
export function outputFile(
  kind: FileKind,
  {
    out = '',
    format = scoreFormatFromPath(out),
  }: { readonly out?: string; readonly format?: ScoreFormat },
): OutputFile {
  switch (kind) {
    case 'report':
      return {
        what: 'a report of Espalier',
        suffixes: reportSuffixes,
        isOne: async (file) => (await readStart(file, markBytes)).includes(reportMark),
      };
    // Other programs write such files, too, so an existing file may not be Espalier's.
    case 'importance':
      return { what: 'an importance matrix', suffixes: ['.gguf'] };
    case 'baseProbabilities':
      return {
        what: 'a file of log-probabilities',
        suffixes: ['.kld', '.dat', '.bin'],
        isOne: async (file) => (await readStart(file, baseMagic.length)).includes(baseMagic),
      };
    case 'study':
      return { what: 'a study', suffixes: ['.json'] };
    case 'scores':
      return format === 'espalier'
        ? documentFile(kind)
        : { what: 'scores', suffixes: [scoreSuffixes[format]] };
    case 'selection':
      return out.endsWith(indices)
        ? { what: 'indices', suffixes: [indices] }
        : { ...documentFile(kind), suffixes: [documentNames.selection.suffix, indices] };
    default:
      return documentFile(kind);
  }
}

/** Espalier document, which replaces only a document of the same type. */
const documentFile = (id: DocumentId): OutputFile => ({
  what: documentTypes[id].what,
  suffixes: [documentNames[id].suffix],
  isOne: async (file) =>
    readDocument(id, file).then(
      () => true,
      () => false,
    ),
});

const scoreSuffixes: Readonly<Record<Exclude<ScoreFormat, 'espalier'>, string>> = {
  npy: '.npy',
  deepcore: '.json',
  cleanlab: '.csv',
  cartography: '.jsonl',
};

/** Extension of files with indices of selected examples. */
const indices = '.npy';

/**
 * Validates an output path before any work is done.
 * @throws UserError if the extension is wrong, or another kind of file would be replaced; the message doesn't quote
 * that file
 */
export async function requireOutputFile(
  out: string,
  file: OutputFile,
  field = 'out',
): Promise<void> {
  const { what, suffixes } = file;
  const name = basename(out);
  if (!suffixes.some((suffix) => name.endsWith(suffix) && name !== suffix)) {
    throw new UserError(
      'file-suffix-wrong',
      say`The name ${name} does not end with ${suffixes.join(' or ')}.`,
      {
        field,
        remedy: say`Name ${what} such as ${`${name.replace(/\..*$/, '')}${suffixes[0] ?? ''}`}.`,
      },
    );
  }
  await requireReplaceable(out, file);
}

/**
 * Refuses the name of a model file for a folder, which other programs and Espalier itself would take for that file.
 * @throws UserError
 */
export function requireFolderName(out: string): void {
  const name = basename(out);
  const suffix = /\.(?:gguf|onnx|safetensors)$/i.exec(name)?.[0];
  if (suffix !== undefined) {
    throw new UserError(
      'folder-name-expected',
      say`${name} is a file name, but the output is a folder.`,
      {
        field: 'out',
        remedy: say`Name the folder, such as ${name.slice(0, -suffix.length) || 'model'}. The model file is written into it.`,
      },
    );
  }
}

/** @throws UserError if there is a file that may not be replaced. */
async function requireReplaceable(out: string, { what, isOne }: OutputFile): Promise<void> {
  const found = await stat(out).catch(() => undefined);
  if (found === undefined) {
    return;
  }
  const remedy = say`Choose another name, or move that file.`;
  if (isOne === undefined) {
    throw new UserError('file-exists', say`The file exists already.`, { file: out, remedy });
  }
  if (!found.isFile() || !(await isOne(out))) {
    throw new UserError(
      'file-not-replaceable',
      say`The file exists and is not ${what}, so it is not replaced.`,
      { file: out, remedy },
    );
  }
}

/**
 * Writes a plan that nobody named, next to a model or into a folder.
 * @throws UserError if another file has that name, or if it cannot be written.
 */
export async function writePlan(file: string, plan: Plan): Promise<void> {
  await requireReplaceable(file, documentFile('plan'));
  await writeDocument(file, plan);
}

/** Number of bytes at the start of a file that are searched for a mark. */
const markBytes = 4096;

/** Default path of a document: next to the model. */
export async function pathNextToModel(id: DocumentId, model: string): Promise<string> {
  return defaultDocumentPath(id, (await locateOnnx(model)) ?? (await locateModel(model)).path);
}
