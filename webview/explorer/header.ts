import { createButton } from '../components/toolkit';
import { h, setChildren, setText } from '../dom';
import { factElement } from '../facts';
import { factsOf } from './facts';
import { strings } from './strings';
import type { ModelDescription, Send } from './types';

export interface Header {
  readonly element: HTMLElement;
  update(model: ModelDescription): void;
}

/** The model's name, what it is, and what can be done with it. */
export function createHeader(send: Send): Header {
  const name = h('h1');
  const family = h('span', { class: 'tag' });
  const format = h('span', { class: 'tag' });
  const facts = h('dl', { class: 'facts' });
  const source = h('p', { class: 'muted source' });
  const remarks = h('ul');
  const remarkCount = h('summary');
  const remarkBox = h('details', { class: 'remarks', hidden: true }, remarkCount, remarks);
  const button = (label: string, title: string, isPrimary: boolean, onClick: () => void) => {
    const made = createButton(label, isPrimary, onClick);
    made.setState(undefined, title);
    return made.element;
  };
  const exporting = (format: 'json' | 'csv' | 'markdown') => () => {
    send({ type: 'export', format });
  };
  const heatmap = button(strings.openHeatmap, strings.openHeatmapTitle, true, () => {
    send({ type: 'openHeatmap' });
  });
  const markdown = button(
    strings.exportMarkdown,
    strings.exportMarkdownTitle,
    false,
    exporting('markdown'),
  );
  const actions = h(
    'div',
    { class: 'actions', role: 'group', 'aria-label': strings.actions },
    heatmap,
    button(strings.compare, strings.compareTitle, false, () => {
      send({ type: 'compare' });
    }),
    button(strings.exportJson, strings.exportJsonTitle, false, exporting('json')),
    button(strings.exportCsv, strings.exportCsvTitle, false, exporting('csv')),
    markdown,
    button(strings.reload, strings.reloadTitle, false, () => {
      send({ type: 'reload' });
    }),
  );
  return {
    element: h(
      'div',
      { class: 'header' },
      h(
        'header',
        {},
        h('div', { class: 'top' }, h('div', { class: 'title' }, name, family, format), actions),
      ),
      h('div', { class: 'about' }, facts, source, remarkBox),
    ),
    update: (model) => {
      const { understood, warnings } = model;
      setText(name, model.name);
      name.title = model.path;
      setText(family, model.family ?? '');
      family.hidden = model.family === undefined || model.family === model.format;
      setText(format, model.format);
      setChildren(facts, factsOf(model).map(factElement));
      setText(source, strings.source(understood.by));
      const { reason } = understood;
      const all = [...(reason === undefined ? [] : [strings.notRunnable(reason)]), ...warnings];
      remarkBox.hidden = all.length === 0;
      remarkBox.open = reason !== undefined;
      setText(remarkCount, strings.remarks(all.length));
      setChildren(
        remarks,
        all.map((text) => h('li', {}, text)),
      );
      heatmap.hidden = understood.by === 'names';
      markdown.hidden = understood.by !== 'architecture';
    },
  };
}
