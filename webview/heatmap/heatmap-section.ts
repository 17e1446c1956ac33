import { h } from '../dom';
import { strings } from '../strings';
import { DetailsStrip } from './details-strip';
import { LayerGrid } from './layer-grid';
import { createLegend } from './legend';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { nextMark } from './selection';
import type { Mark } from './types';

export interface HeatmapSection extends PanelPart {
  readonly scroller: HTMLElement;
}

/** The grid with its legend, the numbers of the cell pointed at and what clicks and keys do. */
export function createHeatmapSection({ choose, announce }: PanelActions): HeatmapSection {
  const details = new DetailsStrip();
  const legend = createLegend();
  let frame: Frame | undefined;
  let pointed: string | undefined;
  const setMark = (sublayer: string, mark: Mark) => {
    choose({ type: 'setMark', sublayer, mark });
    const order = frame?.cells.byId.get(sublayer)?.order;
    announce(strings.marked(sublayer, strings.markName(mark, order)));
  };
  const grid = new LayerGrid('grid-hint', {
    pointed: (id) => {
      pointed = id;
      if (frame !== undefined) details.show(id, frame.cells);
    },
    clicked: ({ sublayer, mark }) => {
      setMark(sublayer.id, nextMark(mark));
    },
    toggledRemoval: ({ sublayer, mark }) => {
      if (mark === 'protected') announce(strings.lockedFirst(sublayer.id));
      else setMark(sublayer.id, mark === 'removed' ? 'keep' : 'removed');
    },
    toggledProtection: ({ sublayer, mark }) => {
      setMark(sublayer.id, mark === 'protected' ? 'keep' : 'protected');
    },
  });
  const element = h(
    'section',
    { class: 'heatmap', 'aria-labelledby': 'heatmap-title' },
    h('div', { class: 'section-head' }, h('h2', { id: 'heatmap-title' }, strings.heatmap)),
    grid.element,
    details.element,
    legend.element,
  );
  return {
    element,
    scroller: grid.element,
    update: (next) => {
      frame = next;
      const { job } = next.state;
      element.classList.toggle('running', job.kind === 'running' && job.what === 'profile');
      grid.update(next.cells);
      legend.update(next);
      details.show(pointed, next.cells);
    },
  };
}
