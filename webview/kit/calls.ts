import type { Answer, CallsOf, FromPanel } from '../../extension/protocol/panel';

/** The host's functions, as a panel sees them: a call that fails rejects. */
export type Caller<C extends CallsOf<C>> = {
  readonly [K in keyof C]: (...args: Parameters<C[K]>) => Promise<Awaited<ReturnType<C[K]>>>;
};

/** Same as {@link Caller}, for callers that need no answer: an error is shown in the panel. */
export type Runner<C extends CallsOf<C>> = {
  readonly [K in keyof C]: (...args: Parameters<C[K]>) => void;
};

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Sends calls and settles their promises by the answers' ids. */
export class Calls {
  readonly #post: (message: FromPanel) => void;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  public constructor(post: (message: FromPanel) => void) {
    this.#post = post;
  }

  public async call(name: string, args: readonly unknown[]): Promise<unknown> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#post({ type: 'call', id, name, args: [...args] });
    });
  }

  public settle(id: number, answer: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if ('error' in answer) waiting?.reject(new Error(answer.error));
    else waiting?.resolve(answer.ok);
  }
}

/** An object whose every method is passed on with its name. */
export function methods(
  invoke: (name: string, args: readonly unknown[]) => unknown,
): Readonly<Record<string, (...args: readonly unknown[]) => unknown>> {
  return new Proxy(
    {},
    {
      get:
        (_, name) =>
        (...args: readonly unknown[]) =>
          invoke(String(name), args),
    },
  );
}
