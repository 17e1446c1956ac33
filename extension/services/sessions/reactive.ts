import { computed, signal } from '@preact/signals-core';
import type { ReadonlySignal } from '@preact/signals-core';

/** An object with a signal for each field: what is computed from a field follows its assignments. */
export function reactive<Fields extends object>(initial: Fields): Fields {
  const properties = Object.entries(initial).map(([name, value]: [string, unknown]) => {
    const field = signal(value);
    const set = (next: unknown): void => {
      field.value = next;
    };
    return [name, { get: () => field.value, set }] as const;
  });
  return Object.defineProperties({}, Object.fromEntries(properties)) as Fields;
}

/** Computed value that keeps the same object while `isSame` returns true for the old and the new value. */
export function distinct<T>(
  compute: () => T,
  isSame: (before: T, next: T) => boolean,
): ReadonlySignal<T> {
  let last: { readonly value: T } | undefined;
  return computed(() => {
    const next = compute();
    last = last !== undefined && isSame(last.value, next) ? last : { value: next };
    return last.value;
  });
}
