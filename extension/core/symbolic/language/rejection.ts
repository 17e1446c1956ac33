/** Reason why a text isn't a program, or its graph isn't a valid result. */
export type RejectionReason =
  | 'parse-error'
  | 'type-error'
  | 'too-big'
  | 'step-limit'
  | 'size-1'
  | 'components-2';

/** Error for a program that doesn't build a valid graph. */
export class Rejection extends Error {
  public override readonly name = 'Rejection';

  public constructor(
    public readonly reason: RejectionReason,
    /** Description of the error, one sentence. */
    message: string,
    /** Number of characters before a parse error. */
    public readonly position?: number,
  ) {
    super(message);
  }
}
