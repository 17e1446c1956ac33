import { able, refused } from '../models/capability';
import type { Capability, Refusal } from '../models/capability';
import type { JobContext } from '../jobs/job';
import { UserError } from '../user-error';
import type { LayoutName } from './hugging-face/layouts';
import type { Changes } from './changes';
import type { WeightWriter, WriteOptions } from './weight-writer';
import type { OutputFormat } from './output-formats';
import type { Message } from '../message';
import { say } from '../message';

/** Format of a changed model and, if the format has several, its layout. */
export interface OutputTarget {
  readonly format: OutputFormat;
  readonly layout?: LayoutName;
}

/** A target that a source can take in principle, and whether it can express changes. */
export interface OutputOption extends OutputTarget {
  /** True if the format uses this layout for these changes by default. */
  readonly isDefault: (changes: Changes) => boolean;
  /** Why the changes cannot be written so; undefined where they can. Asked before any work. */
  readonly refuse: (changes: Changes) => Promise<Refusal | undefined>;
  /** Returns the writer of the changes, if they aren't refused. */
  readonly writer: (
    changes: Changes,
    options: WriteOptions,
    context: JobContext,
  ) => Promise<WeightWriter>;
}

/** Formats in which a source can be written, its own first. */
export interface OutputOptions {
  /** The model folder or file, for errors. */
  readonly path: string;
  readonly options: readonly OutputOption[];
  /** Why the model cannot become a file of the other formats. */
  readonly unreachable: Readonly<Partial<Record<OutputFormat, Message>>>;
}

/** A target, and whether the changes can be written so. */
export type CheckedOutput = OutputTarget &
  Capability & {
    /** True if this option is the default. */
    readonly isDefault: boolean;
  };

/** Checks every output option against some changes. Formats that the model can't be written in come last. */
export async function checkOutputs(
  { options, unreachable }: OutputOptions,
  changes: Changes,
): Promise<CheckedOutput[]> {
  const reachable = await Promise.all(
    options.map(async ({ format, layout, isDefault, refuse }): Promise<CheckedOutput> => {
      const refusal = await refuse(changes);
      return {
        format,
        ...(layout === undefined ? {} : { layout }),
        isDefault: format === options[0]?.format && isDefault(changes),
        ...(refusal === undefined ? able : { able: false, ...refusal }),
      };
    }),
  );
  const remedy = say`Choose ${listFormats(options).join(' or ')}.`;
  const others = Object.entries(unreachable).map(([format, reason]): CheckedOutput => ({
    format: format as OutputFormat,
    isDefault: false,
    ...{ able: false, code: 'format-not-reachable', reason, remedy },
  }));
  return [...reachable, ...others];
}

/**
 * Selects the output option: the requested one, or the default.
 * @throws UserError before any work if there is none, or it can't express the changes
 */
export async function chooseOutput(
  source: OutputOptions,
  changes: Changes,
  asked: Partial<OutputTarget>,
): Promise<OutputOption> {
  const found = findOutput(source, changes, asked);
  const refusal = await found.refuse(changes);
  if (refusal !== undefined) {
    throw refusedAs(found, refusal, source.path);
  }
  return found;
}

/** Says why a model at `path` can't be written as a target. */
export const refusedAs = (
  { format, layout }: OutputTarget,
  refusal: Refusal,
  path: string,
): UserError => refused(refusal, path, `${format} ${layout ?? ''}`.trim());

/** @throws UserError if there is no such option */
export function findOutput(
  { options, unreachable, path }: OutputOptions,
  changes: Changes,
  { format, layout }: Partial<OutputTarget>,
): OutputOption {
  const sameFormat = options.filter((option) => option.format === (format ?? option.format));
  if (sameFormat.length === 0) {
    const why = format === undefined ? undefined : unreachable[format];
    throw new UserError(
      'format-not-reachable',
      why === undefined
        ? say`The model cannot be written as ${format ?? ''}.`
        : say`The model cannot be written as ${format ?? ''}: ${why}`,
      { file: path, field: 'format', remedy: say`Choose ${listFormats(options).join(' or ')}.` },
    );
  }
  const found =
    layout === undefined
      ? sameFormat.find(({ isDefault }) => isDefault(changes))
      : sameFormat.find((option) => option.layout === layout);
  if (found !== undefined) {
    return found;
  }
  const known = sameFormat.flatMap((option) => option.layout ?? []);
  throw new UserError(
    'layout-unknown',
    say`${format ?? sameFormat[0]?.format ?? ''} has no layout ${layout ?? ''}.`,
    {
      file: path,
      field: 'layout',
      remedy:
        known.length === 0
          ? say`Remove --layout: this format has none.`
          : say`Choose ${[...new Set(known)].join(' or ')}.`,
    },
  );
}

function listFormats(options: readonly OutputOption[]): OutputFormat[] {
  return [...new Set(options.map(({ format }) => format))];
}
