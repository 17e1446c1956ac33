/** End of a child process: an exit code, or a signal. */
export interface WorkerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Reason why it could not start. */
  readonly failure?: string;
}

/** The worker process ended while a request was under way. */
export class WorkerCrashed extends Error {
  public override readonly name = 'WorkerCrashed';

  public constructor(
    method: string,
    public readonly exit: WorkerExit,
  ) {
    super(`The worker process ended during ${method} (${describeExit(exit)}).`);
  }
}

/** The worker failed in a way that nobody foresaw: a defect. */
export class WorkerRequestError extends Error {
  public override readonly name = 'WorkerRequestError';

  /** @param stack of the worker's error */
  public constructor(stack: string) {
    const [firstLine = stack] = stack.split('\n');
    super(firstLine);
    this.stack = stack;
  }
}

/** The request was cancelled, by the worker's consent or by ending it. */
export class RequestCancelled extends Error {
  public override readonly name = 'RequestCancelled';

  public constructor() {
    super('Canceled.');
  }
}

export function describeExit(exit: WorkerExit): string {
  if (exit.failure !== undefined) {
    return exit.failure;
  }
  return exit.signal === null ? `exit code ${exit.code ?? 'unknown'}` : `signal ${exit.signal}`;
}
