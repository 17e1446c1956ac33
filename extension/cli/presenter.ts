import type { Message } from '../core/message';
import type { Fields } from '../core/operations/fields';
import type { Terminal } from './terminal';

/** Context in which a result is shown. */
export interface Shown {
  readonly terminal: Terminal;
  /** The complete request. */
  readonly request: Readonly<Record<string, unknown>>;
  /** Values of the presenter's own options. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Prints the result of an operation to the terminal; `--json` prints the result itself. */
export interface Presenter<Result = unknown> {
  /** Flags that change only what is shown. */
  readonly options: Fields;
  /** Words of what is shown, with what they mean, for the help. */
  readonly terms?: Readonly<Record<string, Message>>;
  print(result: Result, shown: Shown): void;
}
