/** What a {@link UserError} is about, so that an editor can open the file and mark the field. */
export interface ErrorSubject {
  /** Path of the file at fault. */
  readonly file?: string;
  /** Name of the field, tensor or option at fault. */
  readonly field?: string;
  /** What the user can do about it, as one sentence. */
  readonly remedy?: string;
}

/** A failure caused by input or environment: shown to the user as it is, without a stack. */
export class UserError extends Error {
  public override readonly name = 'UserError';

  public constructor(
    /** What is wrong, as one sentence. */
    public readonly problem: string,
    public readonly subject: ErrorSubject = {},
  ) {
    const { file, field, remedy } = subject;
    const place = [file, field].filter((part) => part !== undefined).join(': ');
    super(
      [place === '' ? problem : `${place}: ${problem}`, remedy]
        .filter((part) => part !== undefined)
        .join(' '),
    );
  }
}
