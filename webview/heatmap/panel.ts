import type { HeatmapState } from '../../extension/protocol/heatmap';
import { h, setText } from '../dom';
import { createJobLine } from '../job-line';
import { strings } from '../strings';
import { createActionBar, createBlockedNotice } from './action-bar';
import { createCandidateTable } from './candidate-table';
import { cellsOf } from './cells';
import { createConfigPreview } from './config-preview';
import { createCurveSection } from './curve-section';
import type { Choice } from './draft';
import { createEmptyState } from './empty-state';
import { createHeader } from './header';
import { createHeatmapSection } from './heatmap-section';
import type { PanelActions, PanelPart } from './panel-part';
import { createRoundSlider } from './round-slider';
import type { Send } from './types';
import type { View } from './view-state';

export interface PanelOptions {
  readonly view: View;
  readonly send: Send;
  readonly choose: (choice: Choice) => void;
  readonly viewChanged: (view: View) => void;
}

/** Puts the parts together and draws them from one state. */
export class HeatmapPanel {
  public readonly element: HTMLElement;
  private readonly parts: readonly PanelPart[];
  private readonly body: HTMLElement;
  private readonly loading = h('p', { class: 'muted loading' }, strings.loading);
  private readonly live = h('div', { class: 'sr-only', role: 'status' });
  private readonly gridScroller: HTMLElement;
  private view: View;
  private state: HeatmapState | undefined;

  public constructor(private readonly options: PanelOptions) {
    this.view = options.view;
    const actions: PanelActions = {
      send: options.send,
      choose: options.choose,
      setView: (change) => {
        this.setView(change);
        this.draw();
      },
      announce: (text) => {
        setText(this.live, text);
      },
    };
    const bar = createActionBar(actions);
    const header = createHeader(bar.element);
    const blocked = createBlockedNotice();
    const job = createJobLine(strings, 'profile', actions);
    const empty = createEmptyState(options.send);
    const heatmap = createHeatmapSection(actions);
    const slider = createRoundSlider(actions);
    const curve = createCurveSection(this.view, actions);
    const table = createCandidateTable(actions);
    const config = createConfigPreview(actions);
    this.parts = [bar, header, blocked, job, empty, heatmap, slider, curve, table, config];
    this.gridScroller = heatmap.scroller;
    this.body = h(
      'div',
      { hidden: true },
      header.element,
      blocked.element,
      job.element,
      empty.element,
      heatmap.element,
      slider.element,
      h(
        'div',
        { class: 'columns' },
        h('div', { class: 'column' }, curve.element, config.element),
        table.element,
      ),
    );
    this.element = h('main', {}, this.loading, this.body, this.live);
    this.followScroll();
  }

  public show(state: HeatmapState): void {
    const first = this.state === undefined;
    this.state = state;
    this.loading.hidden = true;
    this.body.hidden = false;
    this.draw();
    if (first) this.restoreScroll();
  }

  private draw(): void {
    const { state, view } = this;
    if (state === undefined) return;
    const frame = { state, view, cells: cellsOf(state) };
    for (const part of this.parts) part.update(frame);
  }

  private setView(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    this.options.viewChanged(this.view);
  }

  private restoreScroll(): void {
    window.scrollTo({ top: this.view.scrollTop });
    this.gridScroller.scrollLeft = this.view.gridScroll;
  }

  private followScroll(): void {
    document.addEventListener('scroll', () => {
      if (this.state !== undefined) this.setView({ scrollTop: window.scrollY });
    });
    this.gridScroller.addEventListener('scroll', () => {
      this.setView({ gridScroll: this.gridScroller.scrollLeft });
    });
  }
}
