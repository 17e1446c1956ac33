import { inkOn, paletteColor } from '../charts/palette';
import { createDropdown } from '../components/toolkit';
import type { Choices } from '../components/toolkit';
import { h, setAttribute, setChildren, setText } from '../dom';
import { formatCount, formatDistanceShort, formatPercent } from '../format';
import { BlockGrid } from '../grid/block-grid';
import { createSlider } from '../slider';
import { cellFacts, cellLabel } from './cell-text';
import type { CellSet, Drawback, LayerCell } from './cells';
import { sharesOf, wayKey } from './cells';
import { createLegend } from './legend';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { strings } from './strings';

/** Blocks against matrices, what is shown of them, and the numbers of the cell pointed at. */
export function createGridSection({ setView }: PanelActions): PanelPart {
  let cells: CellSet | undefined;
  let pointed: string | undefined;
  const details = createDetails();
  const legend = createLegend();
  const grid = new BlockGrid<LayerCell>({
    label: strings.grid,
    describedBy: 'grid-hint',
    chooses: false,
    words: { corner: strings.block, block: strings.blockNumber, nothing: strings.nothing },
    draw: (element, fill, _, cell) => {
      if (cells !== undefined) drawCell(element, fill, cell, cells);
    },
    pointed: (id) => {
      pointed = id;
      details.show(cells?.byId.get(id ?? ''));
    },
    clicked: () => undefined,
    pressed: () => false,
  });
  const level = createLevel((share) => {
    setView({ share });
  });
  const pays = h('p', { class: 'pays' });
  const choices = h('div', { class: 'controls' });
  let drawnOptions = '';
  let dropdown: Choices<string> | undefined;
  const drawChoices = ({ ways, shown, state }: Frame) => {
    const options = [
      ...ways.map((way) => ({ value: wayKey(way), label: strings.way(way) })),
      ...(state.plan === undefined ? [] : [{ value: 'plan', label: strings.plan }]),
    ];
    const value = shown === undefined || shown.kind === 'plan' ? 'plan' : shown.way;
    const next = JSON.stringify(options);
    if (next === drawnOptions) {
      dropdown?.setValue(value);
      return;
    }
    drawnOptions = next;
    dropdown = createDropdown(strings.shown, options, value, (chosen) => {
      setView({ shown: chosen });
    });
    setChildren(choices, [dropdown.element]);
  };
  const element = h(
    'section',
    { class: 'heatmap', 'aria-labelledby': 'grid-title' },
    h('div', { class: 'section-head' }, h('h2', { id: 'grid-title' }, strings.grid), choices),
    level.element,
    grid.element,
    details.element,
    pays,
    legend.element,
  );
  return {
    element,
    update: (frame) => {
      const { state, shown, cells: next } = frame;
      element.hidden = next === undefined || shown === undefined;
      if (next === undefined || shown === undefined) return;
      cells = next;
      const { job } = state;
      element.classList.toggle('running', job.kind === 'running' && job.what === 'sensitivity');
      drawChoices(frame);
      level.update(frame);
      grid.update(next.cells, next.lines);
      legend.update(frame);
      details.show(next.byId.get(pointed ?? ''));
      setText(pays, paysText(next));
    },
  };
}

function drawCell(
  element: HTMLElement,
  fill: HTMLElement,
  cell: LayerCell,
  { scale }: CellSet,
): void {
  const { status, loss, drawbacks } = cell;
  setAttribute(element, 'data-status', status === 'kept' || status === 'removed' ? 'kept' : status);
  setAttribute(element, 'data-mark', status === 'removed' ? 'removed' : 'keep');
  setAttribute(element, 'aria-label', cellLabel(cell));
  setAttribute(element, 'data-drawback', drawbacks.length > 0);
  setAttribute(element, 'data-value', loss === undefined ? undefined : formatDistanceShort(loss));
  if (loss === undefined || status === 'removed') {
    fill.style.removeProperty('--cell');
    setAttribute(element, 'data-ink', undefined);
  } else {
    const position = scale?.position(loss) ?? 0;
    fill.style.setProperty('--cell', paletteColor(position));
    setAttribute(element, 'data-ink', inkOn(position));
  }
}

/** What is plainly to be said of the form that is shown. */
function paysText({ cells }: CellSet): string {
  const measured = cells.filter(({ entry }) => entry !== undefined);
  if (measured.length === 0) return '';
  const layers = formatCount(measured.length);
  const parts = (['bytes', 'milliseconds', 'flops'] as const).flatMap((drawback: Drawback) => {
    const count = measured.filter(({ drawbacks }) => drawbacks.includes(drawback)).length;
    return count === 0 ? [] : [strings.paysPart(formatCount(count), drawback)];
  });
  const verdict = parts.length === 0 ? strings.pays(layers) : strings.paysNot(parts, layers);
  const isMpo = measured.some(({ entry }) => entry?.method === 'mpo');
  return isMpo ? `${verdict} ${strings.mpoNote}` : verdict;
}

/** The slider over the shares of bytes that a method's levels leave. */
function createLevel(changed: (share: number) => void): PanelPart {
  const slider = createSlider('share', strings.share, (at) => {
    const share = shares[at];
    if (share !== undefined) changed(share);
  });
  const note = h('p', { class: 'muted level-note' });
  let shares: readonly number[] = [];
  return {
    element: h('div', {}, slider.element, note),
    update: ({ state: { table }, shown }) => {
      shares =
        table === undefined || shown?.kind !== 'way'
          ? []
          : [...sharesOf(table, shown.way)].reverse();
      slider.element.hidden = shares.length < 2;
      note.hidden = shares.length > 1;
      const [only] = shares;
      if (shown?.kind === 'plan') setText(note, strings.planShown);
      else setText(note, only === undefined ? '' : strings.oneLevel(formatPercent(only / 100)));
      if (shares.length < 2 || shown?.kind !== 'way') return;
      const at = nearestIndex(shares, shown.share);
      const text = strings.shareValue(formatPercent((shares[at] ?? 0) / 100));
      slider.set(at, 0, shares.length - 1, text);
    },
  };
}

function nearestIndex(shares: readonly number[], share: number): number {
  return shares.reduce(
    (best, one, index) =>
      Math.abs(one - share) < Math.abs((shares[best] ?? 0) - share) ? index : best,
    0,
  );
}

/** The numbers of one cell, below the grid: what a tooltip would say, at a place that stays. */
function createDetails() {
  const hint = h('p', { class: 'muted', id: 'grid-hint' }, strings.gridHint);
  const name = h('strong');
  const way = h('span', { class: 'muted' });
  const drawback = h('span', { class: 'drawback' });
  const list = h('dl', { class: 'facts' });
  const body = h(
    'div',
    { hidden: true },
    h('p', { class: 'details-title' }, name, way, drawback),
    list,
  );
  const values = new Map<string, HTMLElement>();
  const valueOf = (fact: string): HTMLElement => {
    const known = values.get(fact);
    if (known !== undefined) return known;
    const value = h('dd');
    values.set(fact, value);
    list.append(h('div', { class: 'fact' }, h('dt', {}, fact), value));
    return value;
  };
  return {
    element: h('div', { class: 'details' }, hint, body),
    show: (cell: LayerCell | undefined) => {
      hint.hidden = cell !== undefined;
      body.hidden = cell === undefined;
      if (cell === undefined) return;
      const { layer, entry, status, drawbacks } = cell;
      setText(name, layer.tensor);
      setText(
        way,
        status === 'measured' && entry !== undefined
          ? strings.way(entry)
          : status === 'measured'
            ? strings.status.pending
            : strings.status[status],
      );
      setText(drawback, drawbacks.map(strings.drawback).join(', '));
      for (const { name: fact, value } of cellFacts(cell)) setText(valueOf(fact), value);
    },
  };
}
