import { createButton } from '../components/toolkit';
import { h, setChildren, setText } from '../dom';
import { factElement } from '../facts';
import type { Fact } from '../facts';
import { formatCount, formatDistance, formatDuration, formatPercent } from '../format';
import { warningIcon } from '../icons';
import { strings } from './strings';
import type { MapMessage, Overview, Send } from './types';

export interface Header {
  readonly element: HTMLElement;
  update(message: MapMessage): void;
  setBlocked(reason: string | undefined): void;
  setExporting(running: boolean): void;
}

/** What was scored, how, and what is to be known of such scores. */
export function createHeader(send: Send): Header {
  const name = h('h1');
  const score = h('span', { class: 'tag' });
  const facts = h('dl', { class: 'facts' });
  const notes = h('ul', { class: 'notes', 'aria-label': strings.notes });
  const problem = createNotice();
  const blocked = createNotice();
  const exporting = createButton(strings.exportSubset, true, () => {
    send({ type: 'export' });
  });
  let blockedBy: string | undefined;
  let isExporting = false;
  const setExportState = () => {
    const reason = blockedBy ?? (isExporting ? strings.exportRunning : undefined);
    exporting.setState(reason, strings.exportTitle);
  };
  setExportState();
  const button = (label: string, title: string, type: 'chooseData' | 'reload' | 'openText') => {
    const made = createButton(label, false, () => {
      send({ type });
    });
    made.setState(undefined, title);
    return made.element;
  };
  const actions = h(
    'div',
    { class: 'actions', role: 'group', 'aria-label': strings.actions },
    exporting.element,
    button(strings.chooseData, strings.chooseDataTitle, 'chooseData'),
    button(strings.openText, strings.openTextTitle, 'openText'),
    button(strings.reload, strings.reloadTitle, 'reload'),
  );
  return {
    element: h(
      'div',
      { class: 'header' },
      h(
        'header',
        {},
        h('div', { class: 'top' }, h('div', { class: 'title' }, name, score), actions),
      ),
      h('div', { class: 'about' }, blocked.element, problem.element, facts, notes),
    ),
    update: ({ map, source }) => {
      const { overview, warnings } = map;
      setText(name, overview.name);
      name.title = map.data ?? source.scores;
      setText(score, strings.scoreName(overview.score));
      problem.set(map.problem === undefined ? undefined : `${map.problem} ${strings.withoutData}`);
      setChildren(facts, factsOf(overview).map(factElement));
      setChildren(
        notes,
        [...overview.notes, strings.noteMax, ...warnings].map((note) => h('li', {}, note)),
      );
    },
    setBlocked: (reason) => {
      blockedBy = reason;
      blocked.set(reason);
      setExportState();
    },
    setExporting: (running) => {
      isExporting = running;
      setExportState();
    },
  };
}

/** A sentence that has to be seen, or nothing. */
function createNotice() {
  const text = h('p');
  const element = h('div', { class: 'notice', hidden: true }, warningIcon(), text);
  return {
    element,
    set: (sentence: string | undefined) => {
      element.hidden = sentence === undefined;
      setText(text, sentence ?? '');
    },
  };
}

function factsOf({ examples, classes, scoring, suspected }: Overview): Fact[] {
  return [
    { name: strings.examples, value: formatCount(examples) },
    ...(classes.length === 0
      ? []
      : [{ name: strings.classes, value: formatCount(classes.length) }]),
    ...(scoring === undefined ? [] : scoringFacts(scoring)),
    ...(suspected === undefined
      ? []
      : [
          {
            name: strings.suspected,
            value: `${formatCount(suspected)} (${formatPercent(suspected / Math.max(1, examples))})`,
            title: strings.suspectedTitle,
          },
        ]),
  ];
}

function scoringFacts(scoring: NonNullable<Overview['scoring']>): Fact[] {
  const { model, epoch, runs, interRunSpearman, seconds, noise } = scoring;
  return [
    { name: strings.model, value: model },
    { name: strings.epoch, value: strings.epochValue(epoch) },
    { name: strings.runs, value: formatCount(runs) },
    {
      name: strings.agreement,
      value:
        interRunSpearman === null
          ? strings.agreementNone
          : strings.agreementValue(formatDistance(interRunSpearman)),
      title: strings.agreementTitle,
    },
    { name: strings.seconds, value: formatDuration(seconds) },
    ...(noise === undefined ? [] : [{ name: strings.noise, value: formatPercent(noise.rate) }]),
  ];
}
