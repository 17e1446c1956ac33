import { h, setAttribute, setText } from './dom';

/** A number with its name, and a word on it. */
export interface Tile {
  readonly element: HTMLElement;
  /** @param reason why the number cannot be known, if so */
  set(value: string, note: string, reason?: string): void;
}

export function createTile(name: string): Tile {
  const value = h('span', { class: 'tile-value' });
  const note = h('span', { class: 'muted' });
  const element = h('div', { class: 'tile' }, h('dt', {}, name), h('dd', {}, value, note));
  return {
    element,
    set: (text, small, reason) => {
      setText(value, text);
      setText(note, small);
      element.classList.toggle('disabled', reason !== undefined);
      setAttribute(element, 'title', reason);
    },
  };
}
