import { UserError } from '../../user-error';
import type { DatasetOptions } from './dataset';
import { say } from '../../message';

/** What columns with labels and with texts are usually called. */
const defaultLabels = ['label', 'labels', 'class', 'target', 'y', 'category', 'species', 'intent'];
const defaultTexts = ['text', 'sentence', 'content', 'review', 'document', 'question'];

/** Which columns of a table are what. */
export interface ColumnRoles {
  readonly label: string;
  /** The column with the texts, when the examples are texts. */
  readonly text: string | undefined;
  /** Otherwise those with the features. */
  readonly features: readonly string[];
}

/**
 * Decides which columns are label, text and features, by the options or by their names.
 * @throws UserError naming the file and a column that is missing.
 */
export function columnRoles(
  columns: readonly string[],
  options: DatasetOptions,
  file: string,
): ColumnRoles {
  for (const name of [options.label, options.text, ...(options.features ?? [])]) {
    if (name !== undefined && !columns.includes(name)) {
      throw new UserError(say`There is no such column.`, {
        file,
        field: name,
        remedy: say`Its columns are ${columns.slice(0, 20).join(', ')}.`,
      });
    }
  }
  const usual = (names: readonly string[]): string | undefined =>
    names
      .map((name) => columns.find((column) => column.toLowerCase() === name))
      .find((column) => column !== undefined);
  const label = options.label ?? usual(defaultLabels);
  if (label === undefined) {
    throw new UserError(say`No column is called label: ${columns.slice(0, 20).join(', ')}.`, {
      file,
      remedy: say`Say which column has the labels.`,
    });
  }
  const text = options.text ?? (options.features === undefined ? usual(defaultTexts) : undefined);
  return {
    label,
    text: text === label ? undefined : text,
    features: options.features ?? columns.filter((column) => column !== label),
  };
}
