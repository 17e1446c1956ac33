import { computed, effect, signal, untracked } from '@preact/signals-core';
import type { ReadonlySignal } from '@preact/signals-core';

/** Function that computes each field of a state from signals. */
export type Parts<State> = { readonly [K in keyof State]-?: () => State[K] };

/** Fields of a state that have changed, and entries of records. */
interface Changes<State> {
  readonly fields: (keyof State)[];
  readonly entries: { readonly field: keyof State; readonly key: string }[];
}

interface Listening {
  dispose(): void;
}

/** State shown in a webview. A field is computed again only if a signal that it reads has changed. */
export abstract class PanelSession<State extends object> {
  /** Fields of the state that have changed. */
  public readonly changed = {
    listen: (listener: (fields: readonly (keyof State)[]) => void): Listening =>
      this.#watch(({ fields }) => {
        if (fields.length > 0) {
          listener(fields);
        }
      }),
  };

  /** Entries of a record that were added or replaced. */
  public readonly grown = {
    listen: (listener: (entry: Changes<State>['entries'][number]) => void): Listening =>
      this.#watch(({ entries }) => {
        entries.forEach(listener);
      }),
  };

  protected abstract readonly parts: Parts<State>;
  /** Fields that are records whose entries are sent one by one. */
  protected readonly records: readonly (keyof State)[] = [];
  /** Number of times that the trust of the workspace has changed. */
  readonly #trust = signal(0);
  readonly #computed = new Map<keyof State, ReadonlySignal<unknown>>();

  public read<Field extends keyof State>(fields: Iterable<Field>): Pick<State, Field> {
    const values: Partial<State> = {};
    for (const field of fields) {
      values[field] = this.#compute(field);
    }
    return values as Pick<State, Field>;
  }

  /** The whole state, for a webview that has just been made. */
  public snapshot(): State {
    return this.read(Object.keys(this.parts) as (keyof State)[]);
  }

  /** Entries of a field that is a record. */
  public readEntries<Field extends keyof State>(
    field: Field,
    keys: ReadonlySet<string>,
  ): State[Field] {
    const entries = Object.entries(this.#compute(field) as object);
    return Object.fromEntries(entries.filter(([key]) => keys.has(key))) as State[Field];
  }

  /** The workspace became trusted. */
  public refreshBlocked(): void {
    this.#trust.value++;
  }

  /** Computes a value that also depends on the trust of the workspace. */
  protected byTrust<T>(compute: (changes: number) => T): T {
    return compute(this.#trust.value);
  }

  #compute<Field extends keyof State>(field: Field): State[Field] {
    const known = this.#computed.get(field) ?? computed<unknown>(this.parts[field]);
    this.#computed.set(field, known);
    return known.value as State[Field];
  }

  #watch(listener: (changes: Changes<State>) => void): Listening {
    let before: State | undefined;
    const dispose = effect(() => {
      const [last, state] = [before, this.snapshot()];
      before = state;
      if (last !== undefined) {
        untracked(() => {
          listener(this.#compare(last, state));
        });
      }
    });
    return { dispose };
  }

  #compare(before: State, state: State): Changes<State> {
    const changes: Changes<State> = { fields: [], entries: [] };
    for (const field of Object.keys(state) as (keyof State)[]) {
      if (state[field] !== before[field]) {
        const keys = this.records.includes(field)
          ? grownKeys(before[field] as object, state[field] as object)
          : undefined;
        if (keys === undefined) {
          changes.fields.push(field);
        } else {
          changes.entries.push(...keys.map((key) => ({ field, key })));
        }
      }
    }
    return changes;
  }
}

/** Keys of entries that a record has been given since; undefined if entries were removed. */
function grownKeys(before: object, record: object): string[] | undefined {
  return Object.keys(before).every((key) => key in record)
    ? Object.entries(record)
        .filter(([key, value]) => Reflect.get(before, key) !== value)
        .map(([key]) => key)
    : undefined;
}
