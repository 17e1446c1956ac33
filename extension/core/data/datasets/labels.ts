import { UserError } from '../../user-error';
import { rowName } from './dataset';
import { say } from '../../message';

/** Maximum number of classes in a dataset. */
const maxClasses = 100_000;

/** Class index of each example, and class names. */
export interface Labels {
  readonly labels: Int32Array;
  readonly classNames: readonly string[];
}

/**
 * Labels from class indices, counted from 0.
 * @param names class names; the indices by default
 * @throws UserError naming the row of an invalid label.
 */
export function numberedLabels(
  values: ArrayLike<number | bigint>,
  names: readonly string[] | undefined,
  file: string,
  field = rowName,
): Labels {
  const labels = new Int32Array(values.length);
  const end = names?.length ?? maxClasses;
  let classes = 0;
  for (let i = 0; i < values.length; i++) {
    const label = Number(values[i]);
    if (!Number.isInteger(label) || label < 0 || label >= end) {
      const known =
        names === undefined
          ? say`Labels are integers from 0 to ${end - 1}, or names.`
          : say`There are ${end} classes, 0 to ${end - 1}.`;
      throw new UserError('label-unknown', say`The label ${String(values[i])} is not a class.`, {
        file,
        field: field(i),
        remedy: say`${known} Correct the label or leave the row out.`,
      });
    }
    labels[i] = label;
    classes = Math.max(classes, label + 1);
  }
  return { labels, classNames: names ?? Array.from({ length: classes }, (_, i) => String(i)) };
}

/**
 * Labels from strings: class indices, or class names, which are sorted unless given.
 * @throws UserError naming the row of a missing or unknown label.
 */
export function namedLabels(
  values: readonly string[],
  names: readonly string[] | undefined,
  file: string,
  field = rowName,
): Labels {
  values.forEach((value, i) => {
    if (value.trim() === '') {
      throw new UserError('label-missing', say`The label is missing.`, {
        file,
        field: field(i),
        remedy: say`Add a label to the row, or delete it.`,
      });
    }
  });
  const areNumbers = values.every((value) => /^\d{1,9}$/.test(value));
  if (areNumbers && !values.some((value) => names?.includes(value))) {
    return numberedLabels(values.map(Number), names, file, field);
  }
  const classNames = names ?? [...new Set(values)].sort();
  if (classNames.length > maxClasses) {
    throw new UserError(
      'classes-too-many',
      say`The labels have ${classNames.length} different values.`,
      { file, remedy: say`Choose a column with at most ${maxClasses} classes.` },
    );
  }
  const numbers = new Map(classNames.map((name, i) => [name, i]));
  const labels = Int32Array.from(values, (value, i) => {
    const label = numbers.get(value);
    if (label === undefined) {
      throw new UserError(
        'label-unknown',
        say`The label ${JSON.stringify(value)} is not a class.`,
        {
          file,
          field: field(i),
          remedy: say`The classes are ${classNames.slice(0, 20).join(', ')}.`,
        },
      );
    }
    return label;
  });
  return { labels, classNames };
}

/**
 * Returns a function that returns the first row of a class, which shows how the table writes it.
 * @throws UserError for a class without rows.
 */
export function classRowFinder(
  { labels, classNames }: Labels,
  file: string,
): (label: number) => number {
  const first = new Map<number, number>();
  labels.forEach((label, row) => {
    if (!first.has(label)) {
      first.set(label, row);
    }
  });
  return (label) => {
    const row = first.get(label);
    if (row === undefined) {
      throw new UserError(
        'class-without-example',
        say`No example shows the format of class ${classNames[label] ?? label}.`,
        { file, field: 'relabel', remedy: say`Choose a class that has examples.` },
      );
    }
    return row;
  };
}
