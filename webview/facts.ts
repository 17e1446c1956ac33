import { h } from './dom';

/** Something that is told of a model, a table or a run. */
export interface Fact {
  readonly name: string;
  readonly value: string;
  readonly title?: string | undefined;
}

/** A fact in a list of facts. */
export function factElement({ name, value, title }: Fact): HTMLElement {
  return h('div', { class: 'fact', title }, h('dt', {}, name), h('dd', {}, value));
}
