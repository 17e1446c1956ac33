import { h, setText } from './dom';

/** A number with its name, and a word on it. */
export interface Tile {
  readonly element: HTMLElement;
  set(value: string, note: string): void;
}

export function createTile(name: string): Tile {
  const value = h('span', { class: 'tile-value' });
  const note = h('span', { class: 'muted' });
  return {
    element: h('div', { class: 'tile' }, h('dt', {}, name), h('dd', {}, value, note)),
    set: (text, small) => {
      setText(value, text);
      setText(note, small);
    },
  };
}
