import { batch, signal } from '@preact/signals';
import type { Signal } from '@preact/signals';
import type { Restore, ToPanel } from '../../extension/protocol/panel';

type StateMessage<State> = Exclude<ToPanel<State>, { type: 'answer' }>;

/** The host's state, a signal for each field: who reads a field is drawn again when it changes. */
export class Store<State extends object> {
  readonly #fields = new Map<keyof State, Signal<unknown>>();
  /** True once the host has sent its state. */
  public readonly loaded = signal(false);
  /** Data from which the panel is restored after a reload. */
  public restore: Restore = {};

  /** A field's value, once {@link loaded}. */
  public get<Field extends keyof State>(field: Field): State[Field] {
    return this.#field(field).value as State[Field];
  }

  public receive(message: StateMessage<State>): void {
    this.restore = message.restore;
    batch(() => {
      if (message.type === 'state') {
        this.#clear([...this.#fields.keys()].filter((field) => !(field in message.state)));
        this.#set(message.state);
        this.loaded.value = true;
      } else {
        this.#clear(message.cleared);
        this.#set(message.patch);
        this.#add(message.added);
      }
    });
  }

  #set(values: Partial<State>): void {
    for (const field of Object.keys(values) as (keyof State)[]) {
      this.#field(field).value = values[field];
    }
  }

  #add(values: Partial<State>): void {
    for (const field of Object.keys(values) as (keyof State)[]) {
      const known = this.#field(field);
      known.value = { ...(known.peek() as object), ...(values[field] as object) };
    }
  }

  #clear(fields: readonly (keyof State)[]): void {
    for (const field of fields) this.#field(field).value = undefined;
  }

  #field(field: keyof State): Signal<unknown> {
    let known = this.#fields.get(field);
    if (known === undefined) {
      known = signal<unknown>(undefined);
      this.#fields.set(field, known);
    }
    return known;
  }
}
