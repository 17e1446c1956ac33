import { readdir, stat, mkdir, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { parseJsonLine } from '../../data/text-file';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import type { ErrorSubject } from '../../user-error';
import { bareScores } from './score-document';
import type { ScoreDocument } from './score-document';
import { Cartography, eachRow, el2n, isCorrect } from './scores';
import { say, verbatim } from '../../message';
import type { Message } from '../../message';
import { linesOf } from '../../regular-file';
import { onPath } from '../../jobs/write-document';

const lineForm = say`Lines are {"guid": 0, "logits_epoch_0": [0.1, 2.3], "gold": 1}.`;

const lineSchema = v.looseObject({
  guid: v.union([v.string(), v.number()]),
  gold: v.pipe(v.number(), v.integer(), v.minValue(0)),
});
const logitsSchema = v.pipe(v.array(v.number()), v.minLength(2));

/** Values of an epoch, in file order. */
interface Epoch {
  readonly given: number[];
  readonly correct: number[];
  readonly norms: number[];
  readonly predicted: number[];
}

/**
 * Reads training dynamics in the format of dataset cartography: lines {guid, logits_epoch_K, gold}, in one file with
 * all epochs or a folder with one file per epoch. Scores are EL2N of the last epoch. The first file must be in dataset
 * order.
 * @throws UserError naming the file and the line.
 */
export async function readDynamics(path: string): Promise<ScoreDocument> {
  const files = (await stat(path)).isDirectory() ? await epochFiles(path) : [path];
  const places = new Map<string, number>();
  const labels: number[] = [];
  const epochs = new Map<number, Epoch>();
  for (const file of files) {
    await readLines(file, places, labels, epochs);
  }
  const ordered = [...epochs].sort(([a], [b]) => a - b).map(([, epoch]) => epoch);
  const last = ordered.at(-1);
  if (last === undefined) {
    throw new UserError('logits-field-missing', say`It has no field such as logits_epoch_0.`, {
      file: path,
      remedy: lineForm,
    });
  }
  const cartography = new Cartography(labels.length);
  for (const { given, correct } of ordered) {
    if (given.length !== labels.length || Object.keys(given).length !== labels.length) {
      throw new UserError('logits-incomplete', say`Some examples lack the logits of an epoch.`, {
        file: path,
        remedy: say`Record every example exactly once per epoch.`,
      });
    }
    cartography.observe(Float64Array.from(given), Uint8Array.from(correct));
  }
  const { confidence, variability, correctness } = cartography.statistics;
  const classes =
    Math.max(...labels.map((label, i) => Math.max(label, last.predicted[i] ?? 0))) + 1;
  return {
    ...bareScores('el2n', last.norms),
    classNames: Array.from({ length: classes }, (_, i) => String(i)),
    notes: [`EL2N of the last of ${ordered.length} epochs of one run, from ${basename(path)}.`],
    labels,
    predicted: last.predicted,
    labelScores: last.given,
    confidence: [...confidence],
    variability: [...variability],
    correctness: [...correctness],
  };
}

async function epochFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => /^dynamics_epoch_\d+\.jsonl$/.test(name));
  if (names.length === 0) {
    throw new UserError(
      'dynamics-files-missing',
      say`It has no files such as dynamics_epoch_0.jsonl.`,
      { file: folder, remedy: say`Choose the output folder of the training.` },
    );
  }
  const epochNumber = (name: string): number => Number(/\d+/.exec(name)?.[0]);
  return names.sort((a, b) => epochNumber(a) - epochNumber(b)).map((name) => join(folder, name));
}

async function readLines(
  file: string,
  places: Map<string, number>,
  labels: number[],
  epochs: Map<number, Epoch>,
): Promise<void> {
  let number = 0;
  for await (const line of linesOf(file)) {
    number++;
    if (line.trim() === '') {
      continue;
    }
    const errorSubject = (field = ''): ErrorSubject => ({
      file,
      field: `line ${number}${field}`,
      remedy: lineForm,
    });
    const fault = (code: ErrorCode, problem: Message, field?: string): UserError =>
      new UserError(code, problem, errorSubject(field));
    const result = v.safeParse(lineSchema, parseJsonLine(line, errorSubject()));
    if (!result.success) {
      throw fault('field-invalid', verbatim(result.issues[0].message));
    }
    const { guid, gold } = result.output;
    const known = places.get(String(guid));
    const place = known ?? places.size;
    if (known !== undefined && labels[place] !== gold) {
      throw fault(
        'label-contradicted',
        say`The example has another label elsewhere: ${labels[place] ?? ''}.`,
        ': gold',
      );
    }
    places.set(String(guid), place);
    labels[place] = gold;
    for (const [key, value] of Object.entries(result.output)) {
      const match = /^logits_epoch_(\d+)$/.exec(key);
      if (match === null) {
        continue;
      }
      const logits = v.safeParse(logitsSchema, value);
      if (!logits.success || gold >= logits.output.length) {
        throw fault(
          'logits-invalid',
          say`They must be a number for each class, and the label must be one of the classes.`,
          `: ${key}`,
        );
      }
      observe(epochs, Number(match[1]), place, Float32Array.from(logits.output), gold);
    }
  }
}

function observe(
  epochs: Map<number, Epoch>,
  number: number,
  place: number,
  logits: Float32Array,
  gold: number,
): void {
  const epoch = epochs.get(number) ?? { given: [], correct: [], norms: [], predicted: [] };
  epochs.set(number, epoch);
  eachRow(logits, [gold], (probabilities) => {
    epoch.given[place] = probabilities[gold] ?? 0;
    epoch.predicted[place] = probabilities.indexOf(Math.max(...probabilities));
  });
  epoch.correct[place] = isCorrect(logits, [gold])[0] ?? 0;
  epoch.norms[place] = el2n(logits, [gold])[0] ?? 0;
}

/** Opens a writer for an epoch of a run; undefined if its logits are not needed. */
export type RecordSink = (
  seed: number,
  epoch: number,
  labels: Int32Array,
  classes: number,
) => Promise<
  | {
      /** Writes logits [batch, classes] of the examples from `start`. */
      readonly write: (logits: Float32Array, start: number) => Promise<void>;
      readonly close: () => Promise<void>;
    }
  | undefined
>;

/** Significant digits of logits in text: the precision of float32. */
const digits = 7;

/**
 * Writes the training dynamics of the run with seed 0 in the format of dataset cartography: a file
 * dynamics_epoch_K.jsonl for each epoch K from 0, with lines {guid, logits_epoch_K, gold}.
 */
export function cartographyFiles(folder: string): RecordSink {
  return async (seed, epoch, labels, classes) => {
    if (seed !== 0) {
      return undefined;
    }
    await onPath(folder, async () => mkdir(folder, { recursive: true }));
    const number = Math.max(0, epoch - 1);
    const path = join(folder, `dynamics_epoch_${number}.jsonl`);
    const file = await onPath(path, async () => open(path, 'w'));
    return {
      write: async (logits, start) => {
        const lines = Array.from({ length: logits.length / classes }, (_, row) => {
          const values = logits.subarray(row * classes, (row + 1) * classes);
          return `${JSON.stringify({
            guid: start + row,
            [`logits_epoch_${number}`]: Array.from(values, (x) => Number(x.toPrecision(digits))),
            gold: labels[start + row],
          })}\n`;
        });
        await onPath(path, async () => file.writeFile(lines.join('')));
      },
      close: async () => onPath(path, async () => file.close()),
    };
  };
}
