import { createButton } from '../components/toolkit';
import { h, setChildren, setText } from '../dom';
import { factElement } from '../facts';
import type { Fact } from '../facts';
import { formatCount, formatPercent } from '../format';
import { warningIcon } from '../icons';
import { isDone, meanOf } from './population';
import { strings } from './strings';
import type { Evolution, Send } from './types';

export interface Header {
  readonly element: HTMLElement;
  update(file: string, evolution: Evolution): void;
  setBlocked(reason: string | undefined): void;
}

/** What was evolved, and on what. */
export function createHeader(send: Send): Header {
  const name = h('h1');
  const facts = h('dl', { class: 'facts' });
  const blockedText = h('p');
  const blocked = h('div', { class: 'notice', hidden: true }, warningIcon(), blockedText);
  const openText = createButton(strings.openText, false, () => {
    send({ type: 'openText' });
  });
  openText.setState(undefined, strings.openTextTitle);
  const actions = h(
    'div',
    { class: 'actions', role: 'group', 'aria-label': strings.actions },
    openText.element,
  );
  return {
    element: h(
      'div',
      { class: 'header' },
      h('header', {}, h('div', { class: 'top' }, h('div', { class: 'title' }, name), actions)),
      h('div', { class: 'about' }, blocked, facts),
    ),
    update: (file, evolution) => {
      setText(name, folderOf(file));
      name.title = file;
      // The log is written when all is done.
      openText.element.hidden = evolution.best === undefined;
      setChildren(facts, factsOf(evolution).map(factElement));
    },
    setBlocked: (reason) => {
      blocked.hidden = reason === undefined;
      setText(blockedText, reason ?? '');
    },
  };
}

function folderOf(file: string): string {
  return file.split(/[\\/]/).at(-2) ?? file;
}

function factsOf({ settings, iterations, baselines, best }: Evolution): Fact[] {
  const { data, population, keep, programLimit, size, mode, epochs, seed } = settings;
  const done = iterations.filter(isDone).length;
  const examples = [data.train, data.validation, data.test].map(formatCount);
  const [train = '', validation = '', test = ''] = examples;
  const model =
    best === undefined ? undefined : iterations[best.iteration - 1]?.models[best.model - 1];
  return [
    ...(model === undefined
      ? []
      : [
          {
            name: strings.best,
            value: strings.bestValue(model.name, formatPercent(model.metrics.test)),
          },
        ]),
    ...(baselines.length === 0
      ? []
      : [
          {
            name: strings.baseline,
            value: formatPercent(meanOf(baselines.map((metrics) => metrics.test))),
            title: strings.baselineTitle,
          },
        ]),
    { name: strings.iterations, value: strings.iterationsValue(done, settings.iterations) },
    { name: strings.population, value: strings.populationValue(population, keep) },
    { name: strings.programs, value: formatCount(programLimit) },
    {
      name: strings.data,
      value: strings.dataName[data.mode],
      title: strings.dataTitle[data.mode],
    },
    { name: strings.examples, value: strings.examplesValue(train, validation, test) },
    { name: strings.network, value: strings.networkValue(size, mode, epochs) },
    { name: strings.seed, value: String(seed) },
  ];
}
