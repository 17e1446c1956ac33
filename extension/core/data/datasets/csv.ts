import { basename } from 'node:path';
import { parse } from 'papaparse';
import { UserError } from '../../user-error';
import { columnRoles } from './columns';
import type { ColumnRoles } from './columns';
import { numericDataset, rowName, textDataset } from './dataset';
import type { Dataset, DatasetOptions } from './dataset';
import { namedLabels, classRowFinder } from './labels';
import { readTable } from '../text-file';
import { csvWriter } from './write-part';
import { say } from '../../message';

/** Pattern of a number in a table. */
const number = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i;

/**
 * Opens a table separated by commas, semicolons or tabs. The first line has the column names. Each row has a label and
 * either a text or a number in every column.
 * @throws UserError naming the file, the row (1 is the first after the header) and the column.
 */
export async function openCsv(file: string, options: DatasetOptions): Promise<Dataset> {
  const { columns, rows } = parseTable(await readTable(file), file);
  const roles = columnRoles(columns, options, file);
  const column = (name: string): string[] => {
    const at = columns.indexOf(name);
    return rows.map((row) => row[at] ?? '');
  };
  const labels = namedLabels(column(roles.label), options.classNames, file, (row) =>
    place(row, roles.label),
  );
  const written = { label: roles.label, rowOf: classRowFinder(labels, file) };
  const parts = {
    name: basename(file),
    file,
    ...labels,
    write: csvWriter(file, written, async () => parseTable(await readTable(file), file)),
  };
  return roles.text === undefined
    ? numericDataset(
        { ...parts, columns: roles.features },
        {
          dtype: 'F32',
          dims: [rows.length, roles.features.length],
          data: numbers(columns, rows, roles, file),
        },
      )
    : textDataset(parts, column(roles.text));
}

interface Table {
  readonly columns: string[];
  readonly rows: string[][];
  readonly delimiter: string;
}

const place = (row: number, column: string): string => `${rowName(row)}, ${column}`;

function parseTable(text: string, file: string): Table {
  const { data, errors, meta } = parse<string[]>(text, {
    skipEmptyLines: true,
    delimitersToGuess: [',', ';', '\t'],
  });
  const fault = errors.find(({ type }) => type === 'Quotes');
  if (fault !== undefined) {
    throw new UserError(
      'csv-quotes-unmatched',
      say`The quotation marks do not match: ${fault.message}.`,
      {
        file,
        remedy: say`Close the quotation, and double the quotation marks inside it.`,
        ...(fault.row === undefined ? {} : { field: rowName(fault.row - 1) }),
      },
    );
  }
  const [columns = [], ...rows] = data;
  const names = columns.map((name) => name.trim());
  const known = new Set<string>();
  // indexOf would be quadratic: with a million columns that takes hours.
  const twice = names.find((name) => known.size === known.add(name).size);
  if (twice !== undefined || names.every((name) => number.test(name))) {
    const problem =
      twice === undefined
        ? say`The first line contains no column names.`
        : say`Two columns have the name ${JSON.stringify(twice)}.`;
    throw new UserError(
      twice === undefined ? 'csv-header-empty' : 'csv-column-duplicate',
      problem,
      { file, remedy: say`Name every column in the first line.` },
    );
  }
  rows.forEach((row, i) => {
    if (row.length !== names.length) {
      throw new UserError(
        'csv-row-length-mismatch',
        say`It has ${row.length} values, but there are ${names.length} columns.`,
        { file, field: rowName(i), remedy: say`Correct the row or delete it.` },
      );
    }
  });
  return { columns: names, rows, delimiter: meta.delimiter };
}

function numbers(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  { features }: ColumnRoles,
  file: string,
): Float32Array {
  const values = new Float32Array(rows.length * features.length);
  features.forEach((name, i) => {
    const at = columns.indexOf(name);
    rows.forEach((row, r) => {
      const text = row[at] ?? '';
      if (!number.test(text)) {
        throw new UserError(
          text.trim() === '' ? 'value-missing' : 'value-not-number',
          text.trim() === ''
            ? say`The value is missing.`
            : say`${JSON.stringify(text)} is not a number.`,
          {
            file,
            field: place(r, name),
            remedy: say`Correct the value, or specify the feature columns.`,
          },
        );
      }
      values[r * features.length + i] = Number(text);
    });
  });
  return values;
}
