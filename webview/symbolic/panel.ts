import type { ToSymbolic } from '../../extension/protocol/symbolic';
import { onThemeChange } from '../charts/theme-colors';
import { createButton } from '../components/toolkit';
import { h, setText } from '../dom';
import { formatPercent } from '../format';
import { isFault, stopDetail } from '../job-line';
import { createProgressLine } from '../progress-line';
import { strings as common } from '../strings';
import { createDetails } from './details';
import { createHeader } from './header';
import { createLibrarySection } from './library-section';
import { selectedPlace } from './population';
import { createPopulationSection } from './population-section';
import { createSpreadSection } from './spread-section';
import { strings } from './strings';
import type { Evolution, EvolutionMessage, Job, Place, Send } from './types';
import type { View } from './view-state';

export interface PanelOptions {
  readonly view: View;
  readonly send: Send;
  readonly viewChanged: (view: View) => void;
}

/** Puts the parts together and draws them from what the host tells. */
export class SymbolicPanel {
  public readonly element: HTMLElement;
  private readonly loading = h('p', { class: 'muted loading' }, strings.loading);
  private readonly failureText = h('p', { role: 'alert' });
  private readonly failure: HTMLElement;
  private readonly waitingText = h('p', { class: 'muted' });
  private readonly waiting = h(
    'section',
    { class: 'empty', hidden: true, 'aria-labelledby': 'waiting-title' },
    h('h2', { class: 'lead', id: 'waiting-title' }, strings.waiting),
    this.waitingText,
  );
  private readonly results: HTMLElement;
  private readonly body = h('div', { hidden: true });
  private readonly header;
  private readonly job;
  private readonly spread;
  private readonly population;
  private readonly details;
  private readonly library = createLibrarySection();
  private readonly announcer = h('p', { class: 'sr-only', role: 'status' });
  private readonly resume;
  private view: View;
  private evolution: Evolution | undefined;
  private isRunning = false;
  private isShown = false;

  public constructor(private readonly options: PanelOptions) {
    const { send, view } = options;
    this.view = view;
    this.header = createHeader(send);
    this.resume = createButton(strings.resume, true, () => {
      send({ type: 'resume' });
    });
    this.resume.setState(undefined, strings.resumeTitle);
    this.job = createProgressLine(
      strings.jobLine,
      () => {
        send({ type: 'cancel' });
      },
      [this.resume.element],
    );
    const announce = (text: string) => {
      setText(this.announcer, text);
    };
    this.spread = createSpreadSection((place) => {
      this.setView({ iteration: place.iteration, selected: place });
    });
    this.population = createPopulationSection(view.order, {
      select: (selected) => {
        this.setView({ selected });
      },
      chooseIteration: (iteration) => {
        this.setView({ iteration });
      },
      chooseOrder: (order) => {
        this.setView({ order });
      },
    });
    this.details = createDetails(send, announce);
    const again = createButton(strings.tryAgain, true, () => {
      send({ type: 'reload' });
    });
    const openText = createButton(strings.openText, false, () => {
      send({ type: 'openText' });
    });
    this.failure = h(
      'section',
      { class: 'empty', hidden: true },
      h('h2', {}, strings.failed),
      this.failureText,
      h('div', { class: 'actions' }, again.element, openText.element),
    );
    this.results = h(
      'div',
      { hidden: true },
      this.spread.element,
      h('div', { class: 'columns modules' }, this.population.element, this.details.element),
      this.library.element,
    );
    this.body.append(this.header.element, this.job.element, this.waiting, this.results);
    this.element = h('main', {}, this.loading, this.failure, this.body, this.announcer);
    onThemeChange(() => {
      this.spread.recolor();
    });
    document.addEventListener('scroll', () => {
      if (this.isShown) this.keepView({ scrollTop: window.scrollY });
    });
  }

  public receive(message: ToSymbolic): void {
    switch (message.type) {
      case 'evolution':
        this.show(message);
        break;
      case 'failed':
        this.loading.hidden = true;
        this.body.hidden = true;
        this.failure.hidden = false;
        setText(this.failureText, message.message);
        break;
      case 'job':
        this.showJob(message.job);
        break;
      case 'blocked':
        this.header.setBlocked(message.reason);
        this.resume.setState(message.reason, strings.resumeTitle);
        break;
    }
  }

  private show({ file, evolution }: EvolutionMessage): void {
    if (evolution === undefined) return;
    this.announceLatest(evolution);
    this.evolution = evolution;
    this.loading.hidden = true;
    this.failure.hidden = true;
    this.body.hidden = false;
    this.header.update(file, evolution);
    this.library.update(evolution);
    const isEmpty = evolution.iterations.length === 0;
    this.waiting.hidden = !isEmpty;
    this.results.hidden = isEmpty;
    if (isEmpty) return;
    this.spread.update(evolution);
    this.draw();
    if (!this.isShown) {
      this.isShown = true;
      window.scrollTo({ top: this.view.scrollTop });
    }
  }

  /** Says which network was trained last, while more are. */
  private announceLatest({ iterations }: Evolution): void {
    const count = (all: Evolution['iterations']) =>
      all.reduce((sum, { models }) => sum + models.length, 0);
    const model = iterations.at(-1)?.models.at(-1);
    if (!this.isRunning || model === undefined) return;
    if (count(iterations) === count(this.evolution?.iterations ?? [])) return;
    setText(this.announcer, strings.announceModel(model.name, formatPercent(model.metrics.test)));
  }

  private draw(): void {
    if (this.evolution === undefined) return;
    const { iteration, order, selected } = this.view;
    const place: Place | undefined = selectedPlace(this.evolution, selected);
    this.population.update(this.evolution, iteration, order, place);
    this.details.update(this.evolution, place);
    this.spread.select(place);
  }

  private showJob(job: Job): void {
    this.isRunning = job.kind === 'running';
    setText(this.waitingText, this.isRunning ? strings.waitingText : strings.stoppedText);
    switch (job.kind) {
      case 'idle':
        this.job.hide();
        break;
      case 'queued':
        this.job.run(undefined, strings.jobProgress, common.queued(job.place));
        break;
      case 'running':
        this.job.run(job.progress, strings.jobProgress, strings.jobStarting);
        break;
      case 'stopped':
        this.job.stop(strings.stopped[job.reason], stopDetail(job), isFault(job.reason));
        this.resume.element.hidden = job.saved === undefined;
        setText(this.announcer, strings.stopped[job.reason]);
    }
  }

  private setView(change: Partial<View>): void {
    this.keepView(change);
    this.draw();
  }

  private keepView(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    this.options.viewChanged(this.view);
  }
}
