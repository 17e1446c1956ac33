import * as v from 'valibot';
import type { DatasetOptions } from '../../data/datasets/dataset';
import { datasetOptionsSchema } from '../../data/datasets/dataset';
import { npyBytes } from '../../data/write-npy';
import { readNpy } from '../../data/npy';
import { numberAt } from '../../checkpoints/numeric-array';
import { described, parseDocument } from '../../jobs/parse-document';
import { writeText } from '../../jobs/write-document';
import { UserError } from '../../user-error';
import { readText } from '../scores/score-document';
import type { ScoreDocument } from '../scores/score-document';
import type { Policy, SelectionRequest } from './selection';
import { say } from '../../message';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Schema for reading selections. Files of other tools may have only indices. */
export const selectionSchema = v.object({
  dataset: described(
    v.optional(
      v.object({
        fingerprint: v.string(),
        /** Options that can't be inferred from the files. */
        options: v.exactOptional(datasetOptionsSchema),
      }),
    ),
    'Dataset that the examples were selected from',
  ),
  indices: described(v.array(count), 'Examples to keep, counted from 0'),
  relabeled: described(
    v.optional(v.array(v.object({ index: count, label: v.string() })), []),
    'New labels of examples, by index; the dataset itself is unchanged',
  ),
});
export type NewLabel = v.InferOutput<typeof selectionSchema>['relabeled'][number];

/** Examples selected from a dataset. */
export interface SelectionDocument {
  readonly format: 'espalier.selection';
  readonly version: 1;
  readonly dataset?: {
    readonly path: string;
    readonly name: string;
    readonly fingerprint: string;
    readonly options?: DatasetOptions;
  };
  /** Name of the score. */
  readonly score: string;
  readonly policy: Policy;
  readonly keep: number;
  readonly offset?: number;
  readonly balanced: boolean;
  readonly seed: number;
  /** Number of examples in the dataset. */
  readonly examples: number;
  readonly kept: number;
  /** Class names with the numbers of all and of selected examples, if classes are known. */
  readonly classes: readonly {
    readonly name: string;
    readonly examples: number;
    readonly kept: number;
  }[];
  /** Examples that get a new class. */
  readonly relabeled: readonly NewLabel[];
  /** Ascending indices in dataset order. */
  readonly indices: readonly number[];
}

/** Creates the document of a selection by the scores of `document`. */
export function selectionDocument(
  document: ScoreDocument,
  labels: ArrayLike<number>,
  { keep, policy, offset, balanced, seed }: SelectionRequest,
  indices: Int32Array,
  relabeled: readonly NewLabel[] = [],
): SelectionDocument {
  const { dataset, score, examples, classNames } = document;
  const totals = classNames.map(() => ({ examples: 0, kept: 0 }));
  Array.from(labels).forEach((label) => {
    const total = totals[label];
    if (total !== undefined) {
      total.examples++;
    }
  });
  for (const index of labels.length === 0 ? [] : indices) {
    const total = totals[labels[index] ?? -1];
    if (total !== undefined) {
      total.kept++;
    }
  }
  return {
    format: 'espalier.selection',
    version: 1,
    ...(dataset === undefined ? {} : { dataset }),
    score,
    policy,
    keep,
    ...(policy === 'window' && offset !== undefined ? { offset } : {}),
    balanced,
    seed,
    examples,
    kept: indices.length,
    classes:
      labels.length === 0
        ? []
        : classNames.map((name, i) => ({ name, ...(totals[i] ?? { examples: 0, kept: 0 }) })),
    relabeled,
    indices: [...indices],
  };
}

/** Writes a selection: int64 indices for .npy, otherwise the document. */
export async function writeSelection(path: string, document: SelectionDocument): Promise<void> {
  if (path.endsWith('.npy')) {
    const data = BigInt64Array.from(document.indices, BigInt);
    await writeText(path, npyBytes({ dtype: 'I64', dims: [data.length], data }));
    return;
  }
  const { indices, ...header } = document;
  const text = JSON.stringify(header, undefined, 2).replace(/\n\}$/, '');
  await writeText(path, `${text},\n  "indices": ${JSON.stringify(indices)}\n}\n`);
}

/**
 * Reads the indices of a selection: a document, `{indices}`, or a .npy file of integers.
 * @param size number of examples in the dataset
 * @throws UserError naming the file and an index out of range.
 */
export async function readSelection(path: string, size: number): Promise<ReadSelection> {
  const { values, fingerprint, relabeled = [] } = await readIndices(path);
  const fault = values.findIndex((index) => !Number.isInteger(index) || index < 0 || index >= size);
  if (fault >= 0) {
    throw new UserError(
      'example-index-invalid',
      say`There is no example ${values[fault] ?? ''}: indices range from 0 to ${size - 1}.`,
      {
        file: path,
        field: `index ${fault}`,
        remedy: say`Choose the dataset that the selection was made for.`,
      },
    );
  }
  const indices = Int32Array.from(new Set(values));
  return { indices, relabeled, ...(fingerprint === undefined ? {} : { fingerprint }) };
}

/** Result of reading a selection. */
export interface ReadSelection {
  readonly indices: Int32Array;
  readonly relabeled: readonly NewLabel[];
  readonly fingerprint?: string;
}

/** Options of the selection's dataset; empty if the file has none. */
export async function readSelectionOptions(path: string): Promise<DatasetOptions> {
  return path.endsWith('.npy') ? {} : ((await readDocument(path)).dataset?.options ?? {});
}

/** @throws UserError naming the file and the field. */
export function parseSelection(text: string, file: string): v.InferOutput<typeof selectionSchema> {
  return parseDocument(selectionSchema, text, file, say`a selection of examples`);
}

async function readDocument(path: string): Promise<v.InferOutput<typeof selectionSchema>> {
  return parseSelection(await readText(path), path);
}

async function readIndices(
  path: string,
): Promise<{ values: number[]; fingerprint?: string; relabeled?: readonly NewLabel[] }> {
  if (path.endsWith('.npy')) {
    const array = await readNpy(path);
    return { values: Array.from({ length: array.data.length }, (_, i) => numberAt(array, i)) };
  }
  const document = await readDocument(path);
  const fingerprint = document.dataset?.fingerprint;
  const { indices: values, relabeled } = document;
  return { values, relabeled, ...(fingerprint === undefined ? {} : { fingerprint }) };
}
