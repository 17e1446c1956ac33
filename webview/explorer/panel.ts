import type {
  ComparisonState,
  StatisticsState,
  ToExplorer,
} from '../../extension/protocol/explorer';
import { onThemeChange } from '../charts/theme-colors';
import { createButton } from '../components/toolkit';
import { h, setChildren, setText } from '../dom';
import { createComparisonSection } from './comparison-section';
import { createCompositionSection } from './composition-section';
import { Details } from './details';
import { footprintSections } from './footprint-section';
import { createHeader } from './header';
import { listSections } from './lists-section';
import { strings } from './strings';
import type { TreeNode } from './tree-model';
import { StructureSection } from './structure-section';
import type { ModelDescription, Send } from './types';
import type { View } from './view-state';

export interface PanelOptions {
  readonly view: View;
  readonly send: Send;
  readonly viewChanged: (view: View) => void;
}

/** Puts the parts together and draws them from what the host tells. */
export class ExplorerPanel {
  public readonly element: HTMLElement;
  private readonly loading = h('p', { class: 'muted loading' }, strings.loading);
  private readonly failure: HTMLElement;
  private readonly failureText = h('p', { role: 'alert' });
  private readonly body = h('div', { hidden: true });
  private readonly live = h('div', { class: 'sr-only', role: 'status' });
  private readonly header;
  private readonly tree: StructureSection;
  private readonly details: Details;
  private readonly composition = createCompositionSection();
  private readonly comparison;
  private readonly footprint = h('div', { class: 'tiles' });
  private readonly lists = h('div', { class: 'tiles wide' });
  private readonly statistics = new Map<string, StatisticsState>();
  private view: View;
  private model: ModelDescription | undefined;
  private chosen: TreeNode | undefined;

  public constructor(private readonly options: PanelOptions) {
    const { send } = options;
    this.view = options.view;
    this.header = createHeader(send);
    this.comparison = createComparisonSection(send);
    const measure = (tensor: string) => {
      send({ type: 'statistics', tensor });
    };
    this.details = new Details(this.view.logarithmic, {
      measure,
      choose: (tensor) => {
        this.tree.choose(tensor);
      },
      setLogarithmic: (logarithmic) => {
        this.setView({ logarithmic });
      },
    });
    this.tree = new StructureSection(this.view, {
      send,
      setView: (change) => {
        this.setView(change);
      },
      select: (node) => {
        this.chosen = node;
        this.drawDetails();
      },
    });
    const again = createButton(strings.tryAgain, true, () => {
      send({ type: 'reload' });
    });
    this.failure = h(
      'section',
      { class: 'empty', hidden: true },
      h('h2', {}, strings.failed),
      this.failureText,
      again.element,
    );
    this.body.append(
      this.header.element,
      this.comparison.element,
      h('div', { class: 'columns explorer-columns' }, this.tree.element, this.details.element),
      h('div', { class: 'columns' }, this.composition.element, this.footprint),
      this.lists,
    );
    this.element = h('main', {}, this.loading, this.failure, this.body, this.live);
    onThemeChange(() => {
      this.composition.recolor();
      this.details.recolor();
    });
    document.addEventListener('scroll', () => {
      if (this.model !== undefined) this.setView({ scrollTop: window.scrollY });
    });
  }

  public receive(message: ToExplorer): void {
    switch (message.type) {
      case 'model':
        this.show(message.model);
        break;
      case 'failed':
        this.model = undefined;
        this.loading.hidden = true;
        this.body.hidden = true;
        this.failure.hidden = false;
        setText(this.failureText, message.message);
        break;
      case 'statistics':
        this.setStatistics(message.tensor, message.state);
        break;
      case 'reveal':
        this.tree.reveal(message.row);
        this.options.send({ type: 'revealed' });
        break;
      case 'diagram':
        this.tree.receive(message.state);
        break;
      case 'worth':
        this.tree.setWorth(message.worth);
        break;
      case 'comparison':
        this.setComparison(message.state);
        break;
    }
  }

  private show(model: ModelDescription): void {
    const isFirst = this.model === undefined;
    this.model = model;
    this.statistics.clear();
    this.loading.hidden = true;
    this.failure.hidden = true;
    this.body.hidden = false;
    this.header.update(model);
    this.tree.show(model);
    this.composition.update(model);
    setChildren(this.footprint, footprintSections(model));
    setChildren(this.lists, listSections(model, this.options.send));
    if (isFirst) window.scrollTo({ top: this.view.scrollTop });
  }

  private setStatistics(tensor: string, state: StatisticsState): void {
    this.statistics.set(tensor, state);
    if (this.chosen?.tensor?.name === tensor) {
      this.drawDetails();
      if (state.kind === 'known') setText(this.live, strings.statisticsKnown(tensor));
    }
  }

  private setComparison(state: ComparisonState | undefined): void {
    const wasShown = !this.comparison.element.hidden;
    this.comparison.update(state);
    if (!wasShown && state !== undefined) {
      this.comparison.element.scrollIntoView({ block: 'nearest' });
    }
  }

  private drawDetails(): void {
    if (this.model === undefined) return;
    const name = this.chosen?.tensor?.name;
    const state = name === undefined ? undefined : this.statistics.get(name);
    this.details.show(this.chosen, this.model, state);
  }

  private setView(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    this.options.viewChanged(this.view);
  }
}
