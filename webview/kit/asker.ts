/** Result of a question. */
export type Answered<Question, Answer> = { readonly question: Question } & (
  | { readonly ok: Answer; readonly error?: undefined }
  | { readonly ok?: undefined; readonly error: string }
);

/**
 * Asks one question at a time. Only the last of the questions asked meanwhile is sent, and only its answer is reported.
 */
export class Asker<Question, Answer> {
  #next: { readonly question: Question } | undefined;
  #isAsking = false;

  public constructor(
    private readonly call: (question: Question) => Promise<Answer>,
    private readonly onAnswer: (answered: Answered<Question, Answer>) => void,
  ) {}

  public ask(question: Question): void {
    this.#next = { question };
    if (!this.#isAsking) void this.#askAll();
  }

  async #askAll(): Promise<void> {
    this.#isAsking = true;
    while (this.#next !== undefined) {
      const { question } = this.#next;
      this.#next = undefined;
      const answered = await this.call(question).then(
        (ok) => ({ question, ok }),
        (error: unknown) => ({
          question,
          error: error instanceof Error ? error.message : String(error),
        }),
      );
      if (this.#isLast()) this.onAnswer(answered);
    }
    this.#isAsking = false;
  }

  /** A method, since the field changes while an answer is awaited. */
  #isLast(): boolean {
    return this.#next === undefined;
  }
}
