import type { CompressionState } from '../../extension/protocol/compression';
import { createButton } from '../components/toolkit';
import { h, setText } from '../dom';
import { createJobLine } from '../job-line';
import { createBudgetSection } from './budget-section';
import { cellsOf, wayKey, waysOf } from './cells';
import type { Shown } from './cells';
import { createFindingsSection } from './findings-section';
import { createGridSection } from './grid-section';
import { createHeader } from './header';
import { reasonAgainst, resumesMeasuring } from './panel-part';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { strings } from './strings';
import { createTableSection } from './table-section';
import type { Send, Way } from './types';
import type { View } from './view-state';

export interface PanelOptions {
  readonly view: View;
  readonly send: Send;
  readonly viewChanged: (view: View) => void;
}

/** Puts the parts together and draws them from one state. */
export class CompressionPanel {
  public readonly element: HTMLElement;
  private readonly parts: readonly PanelPart[];
  private readonly body: HTMLElement;
  private readonly loading = h('p', { class: 'muted loading' }, strings.loading);
  private readonly live = h('div', { class: 'sr-only', role: 'status' });
  private view: View;
  private state: CompressionState | undefined;
  /** What was drawn last of the table, and of what: jobs and sliders tell of changes many times a second. */
  private drawn:
    (Pick<Frame, 'ways' | 'shown' | 'cells'> & { readonly seen: readonly unknown[] }) | undefined;

  public constructor(private readonly options: PanelOptions) {
    this.view = options.view;
    const actions: PanelActions = {
      send: options.send,
      setView: (change) => {
        this.setView(change);
        this.draw();
      },
      announce: (text) => {
        setText(this.live, text);
      },
    };
    const header = createHeader(actions);
    const job = createJobLine(strings, 'sensitivity', actions);
    const empty = createEmptyState(options.send);
    const grid = createGridSection(actions);
    const findings = createFindingsSection();
    const budget = createBudgetSection(actions);
    const table = createTableSection(actions);
    this.parts = [header, job, empty, grid, findings, budget, table];
    this.body = h(
      'div',
      { hidden: true },
      header.element,
      job.element,
      empty.element,
      grid.element,
      h('div', { class: 'columns even' }, budget.element, findings.element),
      table.element,
    );
    this.element = h('main', {}, this.loading, this.body, this.live);
    document.addEventListener('scroll', () => {
      if (this.state !== undefined) this.setView({ scrollTop: window.scrollY });
    });
  }

  public show(state: CompressionState): void {
    const first = this.state === undefined;
    this.state = state;
    this.loading.hidden = true;
    this.body.hidden = false;
    this.draw();
    if (first) window.scrollTo({ top: this.view.scrollTop });
  }

  private draw(): void {
    const { state, view } = this;
    if (state === undefined) return;
    const { table, plan } = state;
    const seen = [table, plan, view.shown, view.share] as const;
    if (this.drawn === undefined || !seen.every((one, i) => one === this.drawn?.seen[i])) {
      const ways = table === undefined ? [] : waysOf(table);
      const shown = shownOf(view, ways, plan);
      this.drawn = { seen, ways, shown, cells: table && shown && cellsOf(table, shown) };
    }
    const { ways, shown, cells } = this.drawn;
    const frame: Frame = { state, view, ways, shown, cells };
    for (const part of this.parts) part.update(frame);
  }

  private setView(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    this.options.viewChanged(this.view);
  }
}

/** What the user has chosen to see, as far as there is such. */
function shownOf(
  { shown, share }: View,
  ways: readonly Way[],
  plan: CompressionState['plan'],
): Shown | undefined {
  if (shown === 'plan' && plan !== undefined) return { kind: 'plan', plan };
  const way = ways.map(wayKey).find((key) => key === shown) ?? ways.map(wayKey)[0];
  return way === undefined ? undefined : { kind: 'way', way, share };
}

/** What to do with a model that has not been measured. */
function createEmptyState(send: Send): PanelPart {
  const button = createButton(strings.profile, true, () => {
    send({ type: 'profile' });
  });
  const element = h(
    'section',
    { class: 'empty', 'aria-label': strings.profile },
    h('p', { class: 'lead' }, strings.empty),
    h('p', { class: 'muted' }, strings.emptyDetail),
    button.element,
  );
  return {
    element,
    update: ({ state }) => {
      const { table, job } = state;
      const isActive = job.kind === 'running' || job.kind === 'queued';
      element.hidden = table !== undefined || isActive || resumesMeasuring(job);
      button.setState(reasonAgainst(state, strings.reasonRunning), strings.profileTitle);
    },
  };
}
