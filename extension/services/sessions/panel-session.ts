import { Signal } from './signal';

/** Function that computes each field of a state. */
export type Parts<State> = { readonly [K in keyof State]-?: () => State[K] };

/** State shown in a webview. A field is computed only on request. */
export abstract class PanelSession<State extends object> {
  /** Fields of the state that have changed. */
  public readonly changed = new Signal<readonly (keyof State)[]>();
  /** Entries of a field that is a record have changed. */
  public readonly grown = new Signal<{ readonly field: keyof State; readonly key: string }>();
  protected abstract readonly parts: Parts<State>;

  public read<Field extends keyof State>(fields: Iterable<Field>): Pick<State, Field> {
    const values: Partial<State> = {};
    for (const field of fields) {
      values[field] = this.parts[field]();
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
    const entries = Object.entries(this.parts[field]() as object);
    return Object.fromEntries(entries.filter(([key]) => keys.has(key))) as State[Field];
  }

  protected tell(...fields: readonly (keyof State)[]): void {
    this.changed.fire(fields);
  }

  protected tellEntry(field: keyof State, key: string): void {
    this.grown.fire({ field, key });
  }
}
