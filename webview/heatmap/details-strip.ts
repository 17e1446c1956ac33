import type { ShownPatch } from '../../extension/protocol/heatmap';
import { h, setAttribute, setChildren, setText } from '../dom';
import { strings } from '../strings';
import { drawGraph } from '../graph/graph-svg';
import { formatCompact } from '../format';
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
  private readonly patch = h('div', { class: 'patch', hidden: true });
  private drawn: ShownPatch | undefined;
  private readonly body = h(
    'div',
    { hidden: true },
    h('p', { class: 'details-title' }, this.name, this.mark, this.next),
    h('div', { class: 'details-body' }, this.list, this.patch),
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
    this.showPatch(cell.patch);
    for (const fact of cellFacts(cell, cells.ranked)) {
      setText(this.valueOf(fact.name), fact.value);
    }
  }

  private showPatch(patch: ShownPatch | undefined): void {
    if (JSON.stringify(patch) === JSON.stringify(this.drawn)) return;
    this.drawn = patch;
    this.patch.hidden = patch === undefined;
    setChildren(this.patch, patch === undefined ? [] : patchElements(patch));
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

function patchElements({ program, graph, place, parameters }: ShownPatch): HTMLElement[] {
  const text = h(
    'div',
    { class: 'patch-text' },
    h('h3', {}, strings.patch),
    h('code', { class: 'program' }, program),
    h(
      'p',
      { class: 'muted' },
      place === 'model'
        ? strings.patchInModel
        : strings.patchPlanned(parameters === undefined ? undefined : formatCompact(parameters)),
    ),
  );
  if (graph === undefined) return [text];
  const label = strings.graphSize(graph.size, graph.edges.length / 2);
  return [h('div', { class: 'graph-box' }, drawGraph(graph, label)), text];
}
