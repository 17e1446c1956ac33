import type { LogScale } from '../charts/log-scale';
import { scaleTicks } from '../charts/log-scale';
import { paletteStops } from '../charts/palette';
import { h, setChildren, setText } from '../dom';
import { formatDistanceShort } from '../format';
import { lockIcon } from '../icons';
import { strings } from '../strings';
import type { Frame, PanelPart } from './panel-part';

/** What the colours and the marks of the grid mean. */
export function createLegend(): PanelPart {
  const title = h('p', { class: 'legend-title' });
  const definition = h('p', { class: 'muted definition' });
  const gradient = h('div', { class: 'gradient' });
  gradient.style.backgroundImage = `linear-gradient(to right, ${paletteStops().join(', ')})`;
  const ticks = h('div', { class: 'ticks' });
  const ends = h(
    'div',
    { class: 'ends muted' },
    h('span', {}, strings.cheap),
    h('span', {}, strings.vital),
  );
  const scaleBox = h('div', { class: 'scale' }, gradient, ticks, ends);
  const removed = key(strings.legendRemoved, 'removed', '1');
  const locked = key(strings.legendProtected, 'protected', lockIcon());
  const preview = key(strings.legendPreviewCell, 'preview');
  const pending = key(strings.legendPending, 'pending');
  const excluded = key(strings.legendExcluded, 'excluded');
  const element = h(
    'div',
    { class: 'legend' },
    h('div', { class: 'legend-scale' }, title, scaleBox, definition),
    h('ul', { class: 'keys' }, removed, locked, preview, pending, excluded),
  );
  return {
    element,
    update: ({ state, cells }) => {
      const scale = cells.distances ?? cells.previews;
      setText(title, titleOf(state, cells));
      setText(definition, state.profile?.metricDefinition ?? '');
      scaleBox.hidden = scale === undefined;
      if (scale !== undefined) setChildren(ticks, tickElements(scale));
      const statuses = new Set(cells.cells.map((cell) => cell.status));
      preview.hidden = !statuses.has('preview');
      pending.hidden = !statuses.has('pending');
      excluded.hidden = !statuses.has('excluded');
    },
  };
}

function titleOf(state: Frame['state'], cells: Frame['cells']): string {
  if (cells.distances !== undefined) {
    return strings.legendDistance(state.profile?.settings.metric ?? '');
  }
  return cells.previews === undefined ? strings.legendNothing : strings.legendPreview;
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
function key(text: string, look: string, content?: Node | string): HTMLElement {
  const sample = h('span', { class: 'cell sample', 'aria-hidden': 'true' });
  sample.dataset['status'] = look === 'removed' || look === 'protected' ? 'sample' : look;
  sample.dataset['mark'] = look === 'removed' || look === 'protected' ? look : 'keep';
  sample.append(h('span', { class: 'fill' }));
  if (content !== undefined) sample.append(h('span', { class: 'badge' }, content));
  return h('li', {}, sample, h('span', {}, text));
}
