import { inEnglish, joined, say } from './message';
import { printable } from './printable';
import type { ErrorCode } from './error-codes';
import type { Message } from './message';

/** Subject of a {@link UserError}, so that an editor can open the file and mark the field. */
export interface ErrorSubject {
  /** Path of the file at fault. */
  readonly file?: string;
  /** Name of the field, tensor or option at fault. */
  readonly field?: string;
  /** Fix, as one sentence; `undefined` only if the problem names it. */
  readonly remedy: Message | undefined;
}

/** Subject of an error without the fix. */
export type ErrorPlace = Omit<ErrorSubject, 'remedy'>;

/** Fix for a path that doesn't exist. */
const checkPath = say`Check the path.`;
/** Fix for a file that can't be read. */
export const checkAccess = say`Check its permissions.`;

/** Marks errors of all copies of {@link UserError}: a bundle that is loaded later has its own copy. */
const brand = Symbol.for('espalier.UserError');

/** A failure caused by input or environment: shown to the user as it is, without a stack. */
export class UserError extends Error {
  public override readonly name = 'UserError';
  public readonly [brand] = true;
  /** Place, problem and remedy, which {@link Error.message} has in English. */
  public readonly whole: Message;

  public constructor(
    /** Kind of problem. Stable, unlike the text: scripts and tests compare it. */
    public readonly code: ErrorCode,
    /** Problem, as one sentence. */
    public readonly problem: Message,
    public readonly subject: ErrorSubject,
  ) {
    const { file, field, remedy } = subject;
    // A name with line breaks would look like lines of its own.
    const place = [file, field].flatMap((part) => (part === undefined ? [] : printable(part)));
    const whole = joined([
      place.length === 0 ? problem : say`${place.join(': ')}: ${problem}`,
      remedy,
    ]);
    super(inEnglish(whole));
    this.whole = whole;
  }

  /** Errors of all copies of this class are its instances. */
  public static override [Symbol.hasInstance](value: unknown): boolean {
    return this === UserError
      ? typeof value === 'object' && value !== null && brand in value
      : super[Symbol.hasInstance](value);
  }
}

/**
 * Error for a missing file.
 * @param problem says which file it is
 */
export const fileMissing = (
  file: string,
  problem: Message = say`There is no such file.`,
): UserError => new UserError('file-missing', problem, { file, remedy: checkPath });

/** Error for a path that leads nowhere. */
export const pathMissing = (file: string, remedy: Message = checkPath): UserError =>
  new UserError('path-missing', say`There is no such file or folder.`, { file, remedy });

/** Error for a folder whose entries cannot be listed. */
export const folderUnreadable = (file: string, error: unknown): UserError =>
  new UserError('folder-unreadable', say`The folder cannot be read: ${(error as Error).message}.`, {
    file,
    remedy: checkAccess,
  });

/** A failure of something read from a file, which says so where it names none. */
export function inFile(error: unknown, file: string): unknown {
  return error instanceof UserError && error.subject.file === undefined
    ? new UserError(error.code, error.problem, { ...error.subject, file })
    : error;
}
