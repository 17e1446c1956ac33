import { h, setAttribute, setText } from '../dom';
import { strings } from '../strings';
import { cellFacts } from './cell-text';
import type { CellSet } from './cells';

/** The numbers of one cell, below the grid: what a tooltip would say, at a place that stays. */
export class DetailsStrip {
  public readonly element: HTMLElement;
  private readonly hint = h('p', { class: 'muted', id: 'grid-hint' }, strings.gridHint);
  private readonly name = h('strong');
  private readonly mark = h('span', { class: 'mark-text' });
  private readonly next = h('span', { class: 'muted' });
  private readonly values = new Map<string, HTMLElement>();
  private readonly list = h('dl', { class: 'facts' });
  private readonly body = h(
    'div',
    { hidden: true },
    h('p', { class: 'details-title' }, this.name, this.mark, this.next),
    this.list,
  );

  public constructor() {
    this.element = h('div', { class: 'details' }, this.hint, this.body);
  }

  public show(id: string | undefined, cells: CellSet): void {
    const cell = id === undefined ? undefined : cells.byId.get(id);
    this.hint.hidden = cell !== undefined;
    this.body.hidden = cell === undefined;
    if (cell === undefined) return;
    setText(this.name, cell.sublayer.id);
    setText(this.mark, strings.markName(cell.mark, cell.order));
    setAttribute(this.mark, 'data-mark', cell.mark);
    setText(this.next, strings.nextMark[cell.mark]);
    for (const fact of cellFacts(cell, cells.ranked)) {
      setText(this.valueOf(fact.name), fact.value);
    }
  }

  private valueOf(name: string): HTMLElement {
    const known = this.values.get(name);
    if (known !== undefined) return known;
    const value = h('dd');
    this.values.set(name, value);
    this.list.append(h('div', { class: 'fact' }, h('dt', {}, name), value));
    return value;
  }
}
