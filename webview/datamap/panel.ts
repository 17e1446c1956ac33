import type { ExportJob, ToDataMap } from '../../extension/protocol/datamap';
import { onThemeChange } from '../charts/theme-colors';
import { createButton } from '../components/toolkit';
import { h, setText } from '../dom';
import { createProgressLine } from '../progress-line';
import { createHistogramSection, createMapSection } from './chart-sections';
import { createExperimentSection } from './experiment-section';
import { createGallerySection } from './gallery-section';
import { createHeader } from './header';
import { strings as common } from '../strings';
import { strings } from './strings';
import { createSubsetSection } from './subset-section';
import type { MapMessage, Send } from './types';
import type { View } from './view-state';

export interface PanelOptions {
  readonly view: View;
  readonly send: Send;
  readonly viewChanged: (view: View) => void;
}

/** Puts the parts together and draws them from what the host tells. */
export class DataMapPanel {
  public readonly element: HTMLElement;
  private readonly loading = h('p', { class: 'muted loading' }, strings.loading);
  private readonly failure: HTMLElement;
  private readonly failureText = h('p', { role: 'alert' });
  private readonly body = h('div', { hidden: true });
  private readonly header;
  private readonly histogram = createHistogramSection();
  private readonly map = createMapSection((index) => {
    this.gallery.goTo(index);
  });
  private readonly experiment;
  private readonly subset;
  private readonly gallery;
  private readonly exporting;
  private readonly announcer = h('p', { class: 'sr-only', role: 'status' });
  private view: View;
  private isShown = false;

  public constructor(private readonly options: PanelOptions) {
    const { send, view } = options;
    this.view = view;
    this.experiment = createExperimentSection(send);
    this.header = createHeader(send);
    this.subset = createSubsetSection(view.subset, (subset) => {
      this.setView({ subset });
      send({ type: 'subset', subset });
    });
    this.gallery = createGallerySection(view.query, {
      send,
      changed: (query) => {
        this.setView({ query });
      },
      back: () => {
        this.map.focus();
      },
    });
    this.exporting = createProgressLine(strings.exportLine, () => {
      send({ type: 'cancelExport' });
    });
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
    this.body.append(
      this.header.element,
      this.exporting.element,
      h('div', { class: 'columns even' }, this.histogram.element, this.map.element),
      this.gallery.element,
      h('div', { class: 'columns even' }, this.subset.element, this.experiment.element),
    );
    this.element = h('main', {}, this.loading, this.failure, this.body, this.announcer);
    onThemeChange(() => {
      this.histogram.recolor();
      this.map.recolor();
      this.experiment.recolor();
    });
    document.addEventListener('scroll', () => {
      if (this.isShown) this.setView({ scrollTop: window.scrollY });
    });
  }

  public receive(message: ToDataMap): void {
    switch (message.type) {
      case 'map':
        this.show(message);
        break;
      case 'failed':
        this.isShown = false;
        this.loading.hidden = true;
        this.body.hidden = true;
        this.failure.hidden = false;
        setText(this.failureText, message.message);
        break;
      case 'marks':
        this.gallery.setMarks(message.marks);
        break;
      case 'page':
        this.gallery.setPage(message.query, message.page);
        this.scrollBack();
        break;
      case 'pageFailed':
        this.gallery.fail(message.message);
        break;
      case 'counts':
        this.subset.setCounts(message.counts);
        break;
      case 'countsFailed':
        this.subset.fail(message.message);
        break;
      case 'export':
        this.showExport(message.job);
        break;
      case 'blocked':
        this.header.setBlocked(message.reason);
        this.experiment.setBlocked(message.reason);
        break;
    }
  }

  private showExport(job: ExportJob): void {
    const isActive = job.kind === 'running' || job.kind === 'queued';
    const isCancelled = job.kind === 'stopped' && job.reason === 'cancelled';
    this.header.setExporting(isActive);
    if (job.kind === 'running') {
      this.exporting.run(job.progress, strings.exportProgress, strings.exportStarting);
    } else if (job.kind === 'queued') {
      this.exporting.run(undefined, strings.exportProgress, common.queued(job.place));
    } else if (isCancelled) {
      this.exporting.stop(strings.exportCancelled, strings.nothingWritten, false);
    } else {
      this.exporting.hide();
    }
    const cancelled = `${strings.exportCancelled} ${strings.nothingWritten}`;
    setText(this.announcer, isActive ? strings.exportStarting : isCancelled ? cancelled : '');
  }

  private show(message: MapMessage): void {
    const { map, marks } = message;
    const { overview } = map;
    this.loading.hidden = true;
    this.failure.hidden = true;
    this.body.hidden = false;
    this.header.update(message);
    this.histogram.update(overview);
    this.map.update(overview);
    this.experiment.update(map);
    this.subset.show(overview);
    this.gallery.setMarks(marks);
    this.gallery.show(overview);
    this.options.send({ type: 'subset', subset: this.view.subset });
  }

  /** The page has its height once the first examples are there. */
  private scrollBack(): void {
    if (this.isShown) return;
    this.isShown = true;
    window.scrollTo({ top: this.view.scrollTop });
  }

  private setView(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    this.options.viewChanged(this.view);
  }
}
