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

/** What a changed model is written as: a file format and, where it has several, the layout of it. */
export interface OutputTarget {
  readonly format: OutputFormat;
  readonly layout?: LayoutName;
}

/** A target that a source can take in principle, and whether it can express changes. */
export interface OutputOption extends OutputTarget {
  /** Whether it is what the format means for these changes where no layout is asked for. */
  readonly isDefault: (changes: Changes) => boolean;
  /** Why the changes cannot be written so; undefined where they can. Asked before any work. */
  readonly refuse: (changes: Changes) => Promise<Refusal | undefined>;
  /** What writes the changes so, where they are not refused. */
  readonly writer: (
    changes: Changes,
    options: WriteOptions,
    context: JobContext,
  ) => Promise<WeightWriter>;
}

/** What a source can be written as, its own format first. */
export interface OutputOptions {
  /** The model folder or file, for errors. */
  readonly path: string;
  readonly options: readonly OutputOption[];
  /** Why the model cannot become a file of the other formats. */
  readonly unreachable: Readonly<Partial<Record<OutputFormat, Message>>>;
}

/** A target, and whether the changes can be written so. */
export type OutputAnswer = OutputTarget &
  Capability & {
    /** Whether it is taken where nothing is asked for. */
    readonly isDefault: boolean;
  };

/** Every target with its answer for some changes; those of formats that the model cannot take come last. */
export async function answerOutputs(
  { options, unreachable }: OutputOptions,
  changes: Changes,
): Promise<OutputAnswer[]> {
  const reachable = await Promise.all(
    options.map(async ({ format, layout, isDefault, refuse }): Promise<OutputAnswer> => {
      const refusal = await refuse(changes);
      return {
        format,
        ...(layout === undefined ? {} : { layout }),
        isDefault: format === options[0]?.format && isDefault(changes),
        ...(refusal === undefined ? able : { able: false, ...refusal }),
      };
    }),
  );
  const remedy = say`Choose ${formatsOf(options).join(' or ')}.`;
  const others = Object.entries(unreachable).map(([format, reason]): OutputAnswer => ({
    format: format as OutputFormat,
    isDefault: false,
    ...{ able: false, code: 'format-not-reachable', reason, remedy },
  }));
  return [...reachable, ...others];
}

/**
 * The target to write changes as: the one asked for, or the default.
 * @throws UserError where there is none, or where it cannot express the changes; before any work.
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

/** @throws UserError where there is no such target. */
export function findOutput(
  { options, unreachable, path }: OutputOptions,
  changes: Changes,
  { format, layout }: Partial<OutputTarget>,
): OutputOption {
  const ofFormat = options.filter((option) => option.format === (format ?? option.format));
  if (ofFormat.length === 0) {
    const why = format === undefined ? undefined : unreachable[format];
    throw new UserError(
      why === undefined
        ? say`The model cannot be written as ${format ?? ''}.`
        : say`The model cannot be written as ${format ?? ''}: ${why}`,
      { file: path, field: 'format', remedy: say`Choose ${formatsOf(options).join(' or ')}.` },
    );
  }
  const found =
    layout === undefined
      ? ofFormat.find(({ isDefault }) => isDefault(changes))
      : ofFormat.find((option) => option.layout === layout);
  if (found !== undefined) {
    return found;
  }
  const known = ofFormat.flatMap((option) => option.layout ?? []);
  throw new UserError(say`${format ?? ofFormat[0]?.format ?? ''} has no layout ${layout ?? ''}.`, {
    file: path,
    field: 'layout',
    remedy:
      known.length === 0
        ? say`Leave --layout out: this format has none.`
        : say`Choose ${[...new Set(known)].join(' or ')}.`,
  });
}

function formatsOf(options: readonly OutputOption[]): OutputFormat[] {
  return [...new Set(options.map(({ format }) => format))];
}
