import { Signal } from './signal';

/** How each field of a state is computed. */
export type Parts<State> = { readonly [K in keyof State]-?: () => State[K] };

/** What a webview shows. A field is computed only where it is asked for. */
export abstract class PanelSession<State extends object> {
  /** Fields of the state that have changed. */
  public readonly changed = new Signal<readonly (keyof State)[]>();
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

  protected tell(...fields: readonly (keyof State)[]): void {
    this.changed.fire(fields);
  }
}
