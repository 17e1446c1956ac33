/** Why a text is no program, or its graph is not kept. */
export type RejectionReason =
  | 'parse-error'
  | 'type-error'
  | 'too-big'
  | 'step-limit'
  | 'size-1'
  | 'components-2';

/** The language's answer to a program that builds no graph to keep. */
export class Rejection extends Error {
  public override readonly name = 'Rejection';

  public constructor(
    public readonly reason: RejectionReason,
    /** What is wrong, as one sentence. */
    message: string,
    /** Of a parse error: characters of the text before it. */
    public readonly position?: number,
  ) {
    super(message);
  }
}
