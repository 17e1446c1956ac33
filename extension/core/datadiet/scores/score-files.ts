import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { parse, unparse } from 'papaparse';
import * as v from 'valibot';
import { numberAt } from '../../checkpoints/numeric-array';
import { readNpy } from '../../data/npy';
import { npyBytes } from '../../data/write-npy';
import { parseDocument } from '../../jobs/parse-document';
import { writeText } from '../../jobs/write-document';
import { UserError, pathMissing } from '../../user-error';
import {
  holdsCartographyMetrics,
  readCartographyMetrics,
  writeCartographyMetrics,
} from './cartography-metrics';
import { readDynamics } from './read-dynamics';
import {
  bareScores,
  parseScoreDocument,
  readText,
  scoreValues,
  writeScoreDocument,
} from './score-document';
import type { ScoreDocument } from './score-document';
import type { ScoreFormat } from './score-format';
import { counted, say } from '../../message';

const remedy = say`Scores are documents of espalier score-data, .npy arrays of one axis, DeepCore {indices, scores} as .json, training dynamics {guid, logits_epoch_0, …, gold} or their statistics {guid, confidence, variability, correctness} as .jsonl, or .csv with the columns of cleanlab.`;

/**
 * Reads scores from Espalier or another tool. The format is detected from name and content.
 * @throws UserError naming the file and the invalid row or field.
 */
export async function readScores(path: string): Promise<ScoreDocument> {
  const found = await stat(path).catch(() => {
    throw pathMissing(path, remedy);
  });
  if (found.isDirectory()) {
    return readDynamics(path);
  }
  switch (extname(path).toLowerCase()) {
    case '.npy':
      return readArray(path);
    case '.jsonl':
      return (await holdsCartographyMetrics(path))
        ? readCartographyMetrics(path)
        : readDynamics(path);
    case '.csv':
      return parseCleanlab(await readText(path), path);
    case '.json': {
      const text = await readText(path);
      return /"format"\s*:\s*"espalier\.scores"/.test(text.slice(0, 4096))
        ? parseScoreDocument(text, path)
        : parseDeepCore(text, path);
    }
    default:
      throw new UserError('file-type-unsupported', say`Unsupported file type.`, {
        file: path,
        remedy,
      });
  }
}

/**
 * Writes scores in a format.
 * @throws UserError if the format requires data that the document doesn't have.
 */
export async function writeScores(
  path: string,
  document: ScoreDocument,
  format: ScoreFormat,
): Promise<void> {
  switch (format) {
    case 'espalier':
      await writeScoreDocument(path, document);
      return;
    case 'npy': {
      const data = scoreValues(document);
      await writeText(path, npyBytes({ dtype: 'F64', dims: [data.length], data }));
      return;
    }
    case 'deepcore': {
      const scores = document.scores.map((score) => score ?? Number.MAX_VALUE);
      const indices = scores.map((_, index) => index);
      await writeText(path, `${JSON.stringify({ indices, scores })}\n`);
      return;
    }
    case 'cartography':
      await writeCartographyMetrics(path, document);
      return;
    case 'cleanlab':
      await writeText(path, cleanlabTable(document, path));
  }
}

async function readArray(file: string): Promise<ScoreDocument> {
  const array = await readNpy(file);
  if (array.dims.length !== 1) {
    throw new UserError(
      'scores-not-flat',
      say`Scores have one axis; this has ${array.dims.length}.`,
      {
        file,
        field: 'shape',
        remedy: say`Save scores.ravel() in the order of the dataset.`,
      },
    );
  }
  const scores = Array.from({ length: array.data.length }, (_, i) => {
    const score = numberAt(array, i);
    if (Number.isNaN(score) || score === Number.NEGATIVE_INFINITY) {
      throw new UserError('score-not-finite', say`The score is ${score}.`, {
        file,
        field: `index ${i}`,
        remedy: say`Save a value for every example.`,
      });
    }
    return Number.isFinite(score) ? score : null;
  });
  return bareScores('imported', scores);
}

const deepCoreSchema = v.object({
  indices: v.array(v.pipe(v.number(), v.integer(), v.minValue(0))),
  scores: v.array(v.number()),
});

/** Parses the output of DeepCore's selection: scores of the examples at `indices`, which must include all examples. */
function parseDeepCore(text: string, file: string): ScoreDocument {
  const { indices, scores } = parseDocument(
    deepCoreSchema,
    text,
    file,
    say`scores {indices, scores}`,
  );
  const ordered = new Array<number>(scores.length);
  indices.forEach((index, i) => {
    const score = scores[i];
    if (index >= scores.length || score === undefined || ordered[index] !== undefined) {
      throw new UserError(
        'score-duplicate',
        say`Example ${index} has two scores, or is not among the ${scores.length} examples.`,
        {
          file,
          field: `indices.${i}`,
          remedy: say`Save the score of every example once.`,
        },
      );
    }
    ordered[index] = score;
  });
  if (indices.length !== scores.length) {
    throw new UserError(
      'score-indices-mismatch',
      say`There are ${indices.length} indices, but ${counted(scores.length, 'score')}.`,
      { file, field: 'indices', remedy: say`Save the score of every example once.` },
    );
  }
  return bareScores(
    'imported',
    ordered.map((score) => (score === Number.MAX_VALUE ? null : score)),
  );
}

/** Columns of cleanlab's label issues; a low label score means a suspected label. */
const cleanlabColumns = ['is_label_issue', 'label_score', 'given_label', 'predicted_label'];

function cleanlabTable(document: ScoreDocument, file: string): string {
  const { labelIssues, labelScores, labels, predicted, classNames } = document;
  if (labels.length === 0 || labelScores.length === 0) {
    throw new UserError(
      'cleanlab-columns-missing',
      say`These scores have neither labels nor predictions.`,
      { file, remedy: say`Write them as .npy, or score the dataset here.` },
    );
  }
  const className = (label: number | undefined): string => classNames[label ?? 0] ?? String(label);
  const rows = labels.map((label, i) => [
    labelIssues[i] === 1 ? 'True' : 'False',
    (labelScores[i] ?? 0).toPrecision(7),
    className(label),
    className(predicted[i]),
  ]);
  return `${unparse({ fields: cleanlabColumns, data: rows }, { newline: '\n' })}\n`;
}

function parseCleanlab(text: string, file: string): ScoreDocument {
  const { data, meta } = parse<Record<string, string>>(text, {
    header: true,
    skipEmptyLines: true,
  });
  const missing = cleanlabColumns.find((column) => meta.fields?.includes(column) !== true);
  if (missing !== undefined) {
    throw new UserError('column-missing', say`There is no such column.`, {
      file,
      field: missing,
      remedy,
    });
  }
  const names = data.flatMap((row) => [row['given_label'] ?? '', row['predicted_label'] ?? '']);
  const areNumbers = names.every((name) => /^\d+$/.test(name));
  const classNames = areNumbers
    ? Array.from(
        { length: names.reduce((most, name) => Math.max(most, Number(name)), 0) + 1 },
        (_, i) => String(i),
      )
    : [...new Set(names)].sort();
  const classIndices = new Map(classNames.map((name, i) => [name, i]));
  const labelScores = data.map((row, i) => {
    const score = Number(row['label_score']);
    if (row['label_score']?.trim() === '' || !Number.isFinite(score)) {
      throw new UserError(
        'value-not-number',
        say`${JSON.stringify(row['label_score'])} is not a number.`,
        { file, field: `row ${i + 1}, label_score`, remedy: say`Correct the row.` },
      );
    }
    return score;
  });
  return {
    // High scores mean hard examples, so that `max` keeps the same side as for other scores.
    ...bareScores(
      '1 − label_score',
      labelScores.map((score) => 1 - score),
    ),
    classNames,
    labelScores,
    labels: data.map((row) => classIndices.get(row['given_label'] ?? '') ?? 0),
    predicted: data.map((row) => classIndices.get(row['predicted_label'] ?? '') ?? 0),
    labelIssues: data.map((row) => (/^(?:true|1)$/i.test(row['is_label_issue'] ?? '') ? 1 : 0)),
  };
}
