import { h, setAttribute, setText } from './dom';
import { formatPercent } from './format';

/** A slider over whole percents with its label and what it says. */
export interface PercentSlider {
  readonly element: HTMLElement;
  set(percent: number, least: number, most: number): void;
}

export function createPercentSlider(
  id: string,
  label: string,
  changed: (percent: number) => void,
): PercentSlider {
  const input = h('input', { type: 'range', id, min: 0, max: 100, step: 1 });
  const readout = h('output', { for: id, class: 'readout' });
  input.addEventListener('input', () => {
    changed(Number(input.value));
  });
  return {
    element: h('div', { class: 'slider' }, h('label', { for: id }, label), input, readout),
    set: (percent, least, most) => {
      setAttribute(input, 'min', least);
      setAttribute(input, 'max', most);
      if (Number(input.value) !== percent) input.value = String(percent);
      const text = formatPercent(percent / 100);
      setText(readout, text);
      setAttribute(input, 'aria-valuetext', text);
      const filled = most === least ? 0 : (percent - least) / (most - least);
      input.style.setProperty('--filled', `${100 * filled}%`);
    },
  };
}
