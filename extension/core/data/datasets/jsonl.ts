import { basename } from 'node:path';
import { UserError } from '../../user-error';
import { parseObjectLine, readTable } from '../text-file';
import { numericDataset, textDataset } from './dataset';
import type { Dataset, DatasetOptions } from './dataset';
import { namedLabels, classRowFinder } from './labels';
import { NestedNumbers } from './nested-numbers';
import { linesWriter } from './write-part';
import { say } from '../../message';

const form = say`Every line must be an object such as {"text": "…", "label": "…"} or {"features": [1, 2], "label": 0}.`;

/**
 * Opens a file with one object per line: {"text", "label"}, or {"features", "label"} with features as nested
 * lists of numbers.
 * @throws UserError naming the file, the line and the field.
 */
export async function openJsonl(file: string, options: DatasetOptions): Promise<Dataset> {
  const { label = 'label', text = 'text' } = options;
  const features = options.features?.[0] ?? 'features';
  const lines = parseLines(await readTable(file), file);
  const field = (row: number): string => `line ${lines[row]?.number ?? 0}`;
  const labels = lines.map(({ value }, i) =>
    parseLabel(value[label], file, `${field(i)}: ${label}`),
  );
  const named = namedLabels(labels, options.classNames, file, field);
  const written = { label, rowOf: classRowFinder(named, file) };
  const parts = {
    name: basename(file),
    file,
    ...named,
    write: linesWriter(file, written, async () => nonemptyLines(await readTable(file))),
  };
  if (options.features === undefined && lines[0]?.value[text] !== undefined) {
    const texts = lines.map(({ value }, i) => {
      const found = value[text];
      if (typeof found !== 'string') {
        throw new UserError('json-field-not-text', say`It must be a text.`, {
          file,
          field: `${field(i)}: ${text}`,
          remedy: form,
        });
      }
      return found;
    });
    return textDataset(parts, texts);
  }
  const numbers = new NestedNumbers();
  lines.forEach(({ value }, i) => {
    numbers.push(value[features], { file, field: `${field(i)}: ${features}`, remedy: form });
  });
  return numericDataset(parts, numbers.toArray());
}

interface Line {
  /** Line number, from 1. */
  readonly number: number;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Nonempty lines. */
const nonemptyLines = (text: string): string[] =>
  text.split('\n').filter((line) => line.trim() !== '');

function parseLines(text: string, file: string): Line[] {
  const lines: Line[] = [];
  let number = 0;
  for (const line of text.split('\n')) {
    number++;
    if (line.trim() !== '') {
      lines.push({
        number,
        value: parseObjectLine(line, { file, field: `line ${number}`, remedy: form }),
      });
    }
  }
  return lines;
}

function parseLabel(value: unknown, file: string, field: string): string {
  if (typeof value !== 'string' && typeof value !== 'number') {
    throw new UserError(
      value === undefined ? 'label-missing' : 'label-invalid',
      value === undefined
        ? say`The label is missing.`
        : say`The label is neither a name nor a number.`,
      { file, field, remedy: form },
    );
  }
  return String(value);
}
