import type { JobContext } from '../jobs/job';
import { UserError } from '../user-error';
import type { LayoutName } from './layouts';
import type { OutputFormat } from './prune-result';
import type { Refusal, Changes } from './changes';
import type { WeightWriter, WriteOptions } from './weight-writers';

/** One way to write a pruned model: a file format and, where it has several, the layout of it. */
export interface FormName {
  readonly format: OutputFormat;
  readonly layout?: LayoutName;
}

/** A form that a source can take in principle, and whether it can express a removal. */
export interface OutputForm extends FormName {
  /** Whether it is what the format means for this removal where no layout is asked for. */
  readonly isDefault: (changes: Changes) => boolean;
  /** Why the removal cannot be written so; undefined where it can. Asked before any work. */
  readonly refuse: (changes: Changes) => Promise<Refusal | undefined>;
  readonly create: (
    changes: Changes,
    options: WriteOptions,
    context: JobContext,
  ) => Promise<WeightWriter>;
}

/** What a source can be written as, the usual format first. */
export interface SourceForms {
  /** The model folder or file, for errors. */
  readonly path: string;
  readonly forms: readonly OutputForm[];
  /** Why the model cannot become a file of the other formats. */
  readonly impossible: Readonly<Partial<Record<OutputFormat, string>>>;
}

/** A form, and why it cannot express a changes, if so. */
export interface FormAnswer extends FormName {
  /** Whether it is taken where nothing is asked for. */
  readonly usual: boolean;
  readonly refusal?: Refusal;
}

/** Every form with its answer for a removal; those of formats that the model cannot take come last. */
export async function explainForms(
  { forms, impossible }: SourceForms,
  changes: Changes,
): Promise<FormAnswer[]> {
  const known = await Promise.all(
    forms.map(async ({ format, layout, isDefault, refuse }): Promise<FormAnswer> => {
      const refusal = await refuse(changes);
      return {
        format,
        ...(layout === undefined ? {} : { layout }),
        usual: format === forms[0]?.format && isDefault(changes),
        ...(refusal === undefined ? {} : { refusal }),
      };
    }),
  );
  const remedy = `Choose ${formatsOf(forms).join(' or ')}.`;
  const others = Object.entries(impossible).map(([format, problem]): FormAnswer => ({
    format: format as OutputFormat,
    usual: false,
    refusal: { problem, remedy },
  }));
  return [...known, ...others];
}

/**
 * The form to write a removal in: as asked, or the usual one.
 * @throws UserError where there is none, or where it cannot express the removal; before any work.
 */
export async function chooseForm(
  source: SourceForms,
  changes: Changes,
  asked: Partial<FormName>,
): Promise<OutputForm> {
  const found = findForm(source, changes, asked);
  const refusal = await found.refuse(changes);
  if (refusal !== undefined) {
    throw new UserError(refusal.problem, {
      file: refusal.file ?? source.path,
      field: refusal.field ?? `${found.format} ${found.layout ?? ''}`.trim(),
      remedy: refusal.remedy,
    });
  }
  return found;
}

/** @throws UserError where there is no such form. */
export function findForm(
  { forms, impossible, path }: SourceForms,
  changes: Changes,
  { format, layout }: Partial<FormName>,
): OutputForm {
  const ofFormat = forms.filter((form) => form.format === (format ?? form.format));
  if (ofFormat.length === 0) {
    const why = format === undefined ? undefined : impossible[format];
    throw new UserError(
      `The model cannot be written as ${format ?? 'anything'}${why === undefined ? '.' : `: ${why}`}`,
      { file: path, field: 'format', remedy: `Choose ${formatsOf(forms).join(' or ')}.` },
    );
  }
  const found =
    layout === undefined
      ? ofFormat.find(({ isDefault }) => isDefault(changes))
      : ofFormat.find((form) => form.layout === layout);
  if (found !== undefined) {
    return found;
  }
  const known = ofFormat.flatMap((form) => form.layout ?? []);
  throw new UserError(`${format ?? ofFormat[0]?.format ?? ''} has no layout ${layout ?? ''}.`, {
    file: path,
    field: 'layout',
    remedy:
      known.length === 0
        ? 'It has none at all: leave --layout out.'
        : `Choose ${[...new Set(known)].join(' or ')}.`,
  });
}

function formatsOf(forms: readonly OutputForm[]): OutputFormat[] {
  return [...new Set(forms.map(({ format }) => format))];
}
