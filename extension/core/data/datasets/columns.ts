import { UserError } from '../../user-error';
import type { DatasetOptions } from './dataset';
import { say } from '../../message';

/** Common names of label and text columns. */
const defaultLabels = ['label', 'labels', 'class', 'target', 'y', 'category', 'species', 'intent'];
const defaultTexts = ['text', 'sentence', 'content', 'review', 'document', 'question'];

/** Roles of the columns of a table. */
export interface ColumnRoles {
  readonly label: string;
  /** Text column, if the examples are texts. */
  readonly text: string | undefined;
  /** Feature columns otherwise. */
  readonly features: readonly string[];
}

/**
 * Assigns the label, text and feature columns from the options or by common names.
 * @throws UserError naming the file and a missing column.
 */
export function columnRoles(
  columns: readonly string[],
  options: DatasetOptions,
  file: string,
): ColumnRoles {
  for (const name of [options.label, options.text, ...(options.features ?? [])]) {
    if (name !== undefined && !columns.includes(name)) {
      throw new UserError('column-missing', say`There is no such column.`, {
        file,
        field: name,
        remedy: say`Its columns are ${columns.slice(0, 20).join(', ')}.`,
      });
    }
  }
  const findColumn = (names: readonly string[]): string | undefined =>
    names
      .map((name) => columns.find((column) => column.toLowerCase() === name))
      .find((column) => column !== undefined);
  const label = options.label ?? findColumn(defaultLabels);
  if (label === undefined) {
    throw new UserError(
      'label-column-missing',
      say`No column is named label: ${columns.slice(0, 20).join(', ')}.`,
      { file, remedy: say`Specify the column with the labels.` },
    );
  }
  const text =
    options.text ?? (options.features === undefined ? findColumn(defaultTexts) : undefined);
  return {
    label,
    text: text === label ? undefined : text,
    features: options.features ?? columns.filter((column) => column !== label),
  };
}
