import { formatPercent } from './format';
import { createSlider } from './slider';

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
  const slider = createSlider(id, label, changed);
  return {
    element: slider.element,
    set: (percent, least, most) => {
      slider.set(percent, least, most, formatPercent(percent / 100));
    },
  };
}
