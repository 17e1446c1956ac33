import type { LogScale } from './charts/log-scale';
import { scaleTicks } from './charts/log-scale';
import { paletteStops } from './charts/palette';
import { h, setChildren } from './dom';
import { formatDistanceShort } from './format';

/** The colours of a scale with their numbers. */
export interface ScaleLegend {
  readonly element: HTMLElement;
  /** Without a scale nothing is shown. */
  update(scale: LogScale | undefined): void;
}

/** @param low and `high` say what the ends mean */
export function createScaleLegend(low: string, high: string): ScaleLegend {
  const gradient = h('div', { class: 'gradient' });
  gradient.style.backgroundImage = `linear-gradient(to right, ${paletteStops().join(', ')})`;
  const ticks = h('div', { class: 'ticks' });
  const ends = h('div', { class: 'ends muted' }, h('span', {}, low), h('span', {}, high));
  const element = h('div', { class: 'scale' }, gradient, ticks, ends);
  return {
    element,
    update: (scale) => {
      element.hidden = scale === undefined;
      if (scale !== undefined) setChildren(ticks, tickElements(scale));
    },
  };
}

function tickElements(scale: LogScale): HTMLElement[] {
  return scaleTicks(scale).map((value) => {
    const tick = h('span', {}, formatDistanceShort(value));
    const position = scale.position(value);
    tick.style.left = `${position * 100}%`;
    tick.dataset['end'] = position === 0 ? 'first' : position === 1 ? 'last' : 'inner';
    return tick;
  });
}

/** A sample cell with its meaning. */
export function legendKey(
  text: string,
  look: { readonly status: string; readonly mark?: string },
  content?: Node | string,
): HTMLElement {
  const sample = h('span', { class: 'cell sample', 'aria-hidden': 'true' });
  sample.dataset['status'] = look.status;
  sample.dataset['mark'] = look.mark ?? 'keep';
  sample.append(h('span', { class: 'fill' }));
  if (content !== undefined) sample.append(h('span', { class: 'badge' }, content));
  return h('li', {}, sample, h('span', {}, text));
}
