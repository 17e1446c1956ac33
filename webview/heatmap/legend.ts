import { h, setText } from '../dom';
import { graphIcon, lockIcon } from '../icons';
import { createScaleLegend, legendKey } from '../scale-legend';
import { strings } from '../strings';
import type { Frame, PanelPart } from './panel-part';

/** What the colours and the marks of the grid mean. */
export function createLegend(): PanelPart {
  const title = h('p', { class: 'legend-title' });
  const definition = h('p', { class: 'muted definition' });
  const scaleBox = createScaleLegend(strings.cheap, strings.vital);
  const removed = legendKey(strings.legendRemoved, { status: 'sample', mark: 'removed' }, '1');
  const locked = legendKey(
    strings.legendProtected,
    { status: 'sample', mark: 'protected' },
    lockIcon(),
  );
  const patched = legendKey(strings.legendPatched, { status: 'sample' });
  patched.querySelector('.fill')?.append(graphIcon());
  const preview = legendKey(strings.legendPreviewCell, { status: 'preview' });
  const pending = legendKey(strings.legendPending, { status: 'pending' });
  const excluded = legendKey(strings.legendExcluded, { status: 'excluded' });
  const element = h(
    'div',
    { class: 'legend' },
    h('div', { class: 'legend-scale' }, title, scaleBox.element, definition),
    h('ul', { class: 'keys' }, removed, patched, locked, preview, pending, excluded),
  );
  return {
    element,
    update: ({ state, cells }) => {
      setText(title, titleOf(state, cells));
      setText(definition, state.profile?.metricDefinition ?? '');
      scaleBox.update(cells.distances ?? cells.previews);
      const statuses = new Set(cells.cells.map((cell) => cell.status));
      patched.hidden = cells.cells.every(({ patch }) => patch === undefined);
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
