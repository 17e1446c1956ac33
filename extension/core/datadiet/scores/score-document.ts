import * as v from 'valibot';
import { readWholeFile } from '../../regular-file';
import { datasetOptionsSchema } from '../../data/datasets/dataset';
import { described, parseDocument } from '../../jobs/parse-document';
import { writeText } from '../../jobs/write-document';
import { UserError } from '../../user-error';
import { embeddingSchema, findInvalidList, unpackInt32 } from '../neighbors/embedding-schema';
import { counted, say } from '../../message';

/**
 * Schema of long lists of numbers. Equivalent to an array schema, but validates a hundred thousand numbers in 1 ms
 * instead of 100 ms.
 * @param isItem type guard for list items
 */
const numberColumn = <Item extends number | null>(
  isItem: (value: unknown) => value is Item,
): v.GenericSchema<Item[]> =>
  v.pipe(
    v.custom<Item[]>(Array.isArray, 'It must be a list of numbers'),
    v.rawCheck(({ dataset, addIssue }) => {
      const values: readonly unknown[] = dataset.typed ? dataset.value : [];
      const key = values.findIndex((value) => !isItem(value));
      if (key >= 0) {
        const [input, value] = [values, values[key]];
        addIssue({
          message: `${JSON.stringify(value)} is not a number that may stand here`,
          path: [{ type: 'array', origin: 'value', input: [...input], key, value }],
        });
      }
    }),
  );

/** Kinds of scores. */
export const scoreKinds = ['el2n', 'grand', 'forgetting', 'margin'] as const;
export type ScoreKind = (typeof scoreKinds)[number];

/** Format version of the document. */
const scoreDocumentVersion = 1;
/** Maximum document size in bytes. */
const maxBytes = 512 * 1024 * 1024;

const isNumber = (value: unknown): value is number => typeof value === 'number';
const numbers = numberColumn(isNumber);
const numbersOrNull = numberColumn(
  (value): value is number | null => value === null || isNumber(value),
);
const wholeNumbers = numberColumn(
  (value): value is number => Number.isInteger(value) && (value as number) >= 0,
);
const flags = numberColumn((value): value is 0 | 1 => value === 0 || value === 1);
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const scoresSchema = v.object({
  format: described(v.literal('espalier.scores'), 'Marks the file as data scores'),
  version: described(v.literal(scoreDocumentVersion), 'Version of the format'),
  dataset: described(
    v.optional(
      v.object({
        /** Absolute path. */
        path: v.string(),
        name: v.string(),
        /** From `Dataset.fingerprint`. */
        fingerprint: v.string(),
        /** Options that can't be inferred from the files. */
        options: v.exactOptional(datasetOptionsSchema),
      }),
    ),
    'Scored dataset; absent in scores of other tools that do not name it',
  ),
  classNames: described(v.array(v.string()), 'Names of the classes; empty if unknown'),
  score: described(v.string(), 'el2n, grand, …, or what another tool calls it'),
  notes: described(v.array(v.string()), 'Notes on these scores, as sentences'),
  scoring: described(
    v.optional(
      v.object({
        model: v.string(),
        /** Number of epochs trained before scoring; 0 is at initialization. */
        epoch: count,
        runs: count,
        seeds: v.array(count),
        /** Mean Spearman correlation over pairs of runs; null for a single run. */
        interRunSpearman: v.nullable(v.number()),
        /** Total seconds of training and evaluation over all runs. */
        seconds: v.number(),
        /** Share and seed of flipped labels in a label noise study. */
        noise: v.optional(v.object({ rate: v.number(), seed: v.number() })),
      }),
    ),
    'Settings of the scoring; absent in scores of other tools',
  ),
  examples: described(count, 'Number of examples'),
  scores: described(
    numbersOrNull,
    'Score of each example in the order of the dataset; null means infinite (never learned)',
  ),
  deviations: described(numbersOrNull, 'Standard deviation over the runs; empty for a single run'),
  labels: described(wholeNumbers, 'Label of each example; empty if unknown'),
  predicted: described(
    wholeNumbers,
    'Class that the runs predict; empty if unknown, like the following fields',
  ),
  labelScores: described(
    numbers,
    'Mean probability of the given label over the runs at the scored epoch: low for suspects',
  ),
  labelIssues: described(flags, '1 where confident learning takes the label for wrong'),
  confidence: described(
    numbers,
    'Cartography: mean probability of the label over all epochs and runs',
  ),
  variability: described(numbers, 'Cartography: its standard deviation'),
  correctness: described(numbers, 'Cartography: how often the label was predicted, 0 to 1'),
  copies: described(
    v.optional(wholeNumbers, []),
    'Index of the first example with the same content; empty if unknown',
  ),
  outlierScores: described(
    v.optional(numbers, []),
    'Mean of 1 − cosine to the 10 nearest examples by the embedding; empty without an embedding',
  ),
  embedding: described(
    v.optional(embeddingSchema),
    'Embedding of the examples: features before the last layer of a proxy model',
  ),
});

/** Scores of a dataset's examples, and their origin. */
export type ScoreDocument = v.InferOutput<typeof scoresSchema>;

const columns = [
  'scores',
  'deviations',
  'labels',
  'predicted',
  'labelScores',
  'labelIssues',
  'confidence',
  'variability',
  'correctness',
  'copies',
  'outlierScores',
] as const;

/** Creates a document with scores only. */
export function bareScores(score: string, scores: ScoreDocument['scores']): ScoreDocument {
  return {
    format: 'espalier.scores',
    version: scoreDocumentVersion,
    classNames: [],
    score,
    notes: [],
    examples: scores.length,
    scores,
    deviations: [],
    labels: [],
    predicted: [],
    labelScores: [],
    labelIssues: [],
    confidence: [],
    variability: [],
    correctness: [],
    copies: [],
    outlierScores: [],
  };
}

/**
 * Parses a score document.
 * @throws UserError naming the file and the field.
 */
export function parseScoreDocument(text: string, file: string): ScoreDocument {
  const document = parseDocument(scoresSchema, text, file, say`a document of scores`);
  for (const column of columns) {
    const { length } = document[column];
    if (length !== document.examples && (length !== 0 || column === 'scores')) {
      throw new UserError(
        'score-column-mismatch',
        say`It has ${length} values for ${counted(document.examples, 'example')}.`,
        { file, field: column, remedy: say`Score the dataset again.` },
      );
    }
  }
  const { labels, predicted, classNames, embedding, examples } = document;
  const fault = embedding === undefined ? undefined : findInvalidList(embedding, examples);
  if (fault !== undefined) {
    throw new UserError(
      'embedding-length-mismatch',
      say`Its length doesn't match ${counted(examples, 'example')}.`,
      { file, field: `embedding.${fault}`, remedy: say`Score the dataset again.` },
    );
  }
  const isNone = (index: number): boolean => index < 0 || index >= examples;
  const copy = document.copies.find(isNone);
  const neighbor = embedding && unpackInt32(embedding.neighbors).find(isNone);
  for (const [field, index] of [
    ['copies', copy],
    ['embedding.neighbors', neighbor],
  ] as const) {
    if (index !== undefined) {
      throw new UserError(
        'score-index-invalid',
        say`There is no example ${index}: there are ${counted(examples, 'example')}.`,
        {
          ...{ file, field, remedy: say`Score the dataset again.` },
        },
      );
    }
  }
  const isOutside = (label: number): boolean => label >= classNames.length;
  const outside = labels.find(isOutside) ?? predicted.find(isOutside);
  if (outside !== undefined && classNames.length > 0) {
    throw new UserError(
      'class-name-missing',
      say`The class ${outside} has no name: there are ${classNames.length}.`,
      {
        file,
        field: 'classNames',
        remedy: say`Name every class, in the order of their numbers.`,
      },
    );
  }
  return document;
}

export async function readText(file: string): Promise<string> {
  return (await readWholeFile(file, maxBytes, say`Score a part of the dataset.`)).toString('utf8');
}

/** Header fields before the columns, in reading order. */
function documentHeader(document: ScoreDocument): Partial<ScoreDocument> {
  const { format, version, dataset, score, scoring, examples, classNames, notes } = document;
  return {
    ...{ format, version, ...(dataset === undefined ? {} : { dataset }), score },
    ...{ ...(scoring === undefined ? {} : { scoring }), examples, classNames, notes },
  };
}

/** Writes a score document with one field per line and numbers with 7 significant digits, the precision of float32. */
export async function writeScoreDocument(path: string, document: ScoreDocument): Promise<void> {
  const ordered = { ...documentHeader(document), ...document };
  const lines = Object.entries(ordered).map(([key, value]) => {
    const text = JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'number'
        ? Number.isFinite(inner)
          ? Number(inner.toPrecision(7))
          : null
        : inner,
    );
    return `  ${JSON.stringify(key)}: ${text}`;
  });
  await writeText(path, `{\n${lines.join(',\n')}\n}\n`);
}

/** Score of each example; infinite for examples that were never learned. */
export function scoreValues({ scores }: ScoreDocument): Float64Array {
  const known = new Float64Array(scores.length);
  scores.forEach((score, i) => {
    known[i] = score ?? Number.POSITIVE_INFINITY;
  });
  return known;
}
