import type { LayoutName } from '../../core/export/hugging-face/layouts';
import type { CheckedOutput } from '../../core/export/output-options';

/** The rows of a choice of format. */
export interface FormatRows {
  /** At most two rows: the default, and the first one of another format. */
  readonly recommended: readonly CheckedOutput[];
  /** Other formats that can express the changes. */
  readonly others: readonly CheckedOutput[];
  /** Formats that cannot express the changes. */
  readonly blocked: readonly CheckedOutput[];
}

/** Layouts as large as the original. */
const unsaving: ReadonlySet<LayoutName | undefined> = new Set(['dense', 'zeroed']);

/** Filters out options that don't make the model smaller. */
export const savingOnly = (answers: readonly CheckedOutput[]): CheckedOutput[] =>
  answers.filter(({ layout }) => !unsaving.has(layout));

/** Sorts what a model can be written as, so that most users choose between two rows. */
export function formatRows(answers: readonly CheckedOutput[]): FormatRows {
  const able = [...answers]
    .filter((answer) => answer.able)
    .sort((a, b) => Number(b.isDefault) - Number(a.isDefault));
  const [first] = able;
  const second = able.find(({ format }) => format !== first?.format) ?? able[1];
  const recommended = [first, second].flatMap((answer) => answer ?? []);
  return {
    recommended,
    others: able.filter((answer) => !recommended.includes(answer)),
    blocked: answers.filter((answer) => !answer.able),
  };
}
