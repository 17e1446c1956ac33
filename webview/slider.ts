import { h, setAttribute, setText } from './dom';

/** A slider with its label and what it says. */
export interface Slider {
  readonly element: HTMLElement;
  set(value: number, least: number, most: number, text: string): void;
}

export function createSlider(id: string, label: string, changed: (value: number) => void): Slider {
  const input = h('input', { type: 'range', id, min: 0, max: 100, step: 1 });
  const readout = h('output', { for: id, class: 'readout' });
  input.addEventListener('input', () => {
    changed(Number(input.value));
  });
  return {
    element: h('div', { class: 'slider' }, h('label', { for: id }, label), input, readout),
    set: (value, least, most, text) => {
      setAttribute(input, 'min', least);
      setAttribute(input, 'max', most);
      if (Number(input.value) !== value) input.value = String(value);
      setText(readout, text);
      setAttribute(input, 'aria-valuetext', text);
      const filled = most === least ? 0 : (value - least) / (most - least);
      input.style.setProperty('--filled', `${100 * filled}%`);
    },
  };
}
