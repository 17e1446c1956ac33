import { h, setText } from '../dom';
import { createScaleLegend, legendKey } from '../scale-legend';
import type { PanelPart } from './panel-part';
import { strings } from './strings';

/** What the colours and the marks of the grid mean. */
export function createLegend(): PanelPart {
  const title = h('p', { class: 'legend-title' });
  const definition = h('p', { class: 'muted definition' });
  const scale = createScaleLegend(strings.cheap, strings.vital);
  const pending = legendKey(strings.legendPending, { status: 'pending' });
  const kept = legendKey(strings.legendKept, { status: 'kept' });
  const removed = legendKey(strings.legendRemoved, { status: 'kept', mark: 'removed' });
  const drawback = legendKey(strings.legendDrawback, { status: 'sample' });
  drawback.querySelector('.cell')?.setAttribute('data-drawback', '');
  return {
    element: h(
      'div',
      { class: 'legend' },
      h('div', { class: 'legend-scale' }, title, scale.element, definition),
      h('ul', { class: 'keys' }, drawback, pending, kept, removed),
    ),
    update: ({ state: { table }, cells }) => {
      scale.update(cells?.scale);
      const hasScale = cells?.scale !== undefined && table !== undefined;
      setText(title, hasScale ? strings.legend(table.metric) : strings.legendNothing);
      setText(definition, table?.metricDefinition ?? '');
      const statuses = new Set(cells?.cells.map(({ status }) => status));
      pending.hidden = !statuses.has('pending');
      kept.hidden = !statuses.has('kept');
      removed.hidden = !statuses.has('removed');
      drawback.hidden = cells?.cells.every(({ drawbacks }) => drawbacks.length === 0) ?? true;
    },
  };
}
