import { createButton } from '../components/toolkit';
import { h, setChildren, setText } from '../dom';
import { factElement } from '../facts';
import type { Fact } from '../facts';
import { fileName } from '../file-name';
import { formatBytes, formatCount, formatDuration } from '../format';
import { warningIcon } from '../icons';
import { reasonAgainst, resumesMeasuring } from './panel-part';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { strings } from './strings';

/** The model's name, what its table was made with, and what can be done. */
export function createHeader({ send }: PanelActions): PanelPart {
  let resumable = false;
  const profile = createButton(strings.profile, true, () => {
    send({ type: resumable ? 'resume' : 'profile' });
  });
  const compress = createButton(strings.compress, false, () => {
    send({ type: 'compress' });
  });
  const heatmap = createButton(strings.heatmap, false, () => {
    send({ type: 'openHeatmap' });
  });
  const text = createButton(strings.openText, false, () => {
    send({ type: 'openText' });
  });
  heatmap.setState(undefined, strings.heatmapTitle);
  text.setState(undefined, strings.openTextTitle);
  const name = h('h1');
  const architecture = h('span', { class: 'tag' });
  const facts = h('dl', { class: 'facts' });
  const notices = h('div');
  let drawn = '';
  return {
    element: h(
      'div',
      { class: 'header' },
      h(
        'header',
        {},
        h(
          'div',
          { class: 'top' },
          h('div', { class: 'title' }, name, architecture),
          h(
            'div',
            { class: 'actions', role: 'group', 'aria-label': strings.actions },
            profile.element,
            compress.element,
            heatmap.element,
            text.element,
          ),
        ),
      ),
      h('div', { class: 'about' }, facts),
      notices,
    ),
    update: ({ state }) => {
      const { model, table, job, blocked, remark } = state;
      setText(name, model.name);
      name.title = model.path;
      setText(architecture, model.architecture);
      resumable = resumesMeasuring(job);
      const against = reasonAgainst(state, strings.reasonRunning);
      profile.element.hidden = table === undefined && !resumable;
      profile.setLabel(resumable ? strings.resume : strings.profileAgain);
      profile.setPrimary(resumable);
      profile.setState(against, resumable ? strings.resumeTitle : strings.profileTitle);
      compress.setState(against, strings.compressTitle);
      text.element.hidden = table === undefined || job.kind === 'running';
      const next = JSON.stringify([factsOf(state), blocked, remark]);
      if (next === drawn) return;
      drawn = next;
      setChildren(facts, factsOf(state).map(factElement));
      setChildren(
        notices,
        [blocked, remark].flatMap((notice) => (notice === undefined ? [] : [noticeOf(notice)])),
      );
    },
  };
}

function noticeOf(text: string): HTMLElement {
  return h('p', { class: 'notice warning' }, warningIcon(), h('span', {}, text));
}

function factsOf({ model, table, file, job }: Frame['state']): Fact[] {
  const size = { name: strings.size, value: formatBytes(model.bytes) };
  if (table === undefined) return [size];
  const { calibration, fitting, metric, metricDefinition, device, seconds, layers } = table;
  const source =
    calibration.source === 'bundled' ? strings.bundledText : fileName(calibration.source);
  const sizeOf = ({ sequences, length }: typeof calibration): [string, string] => [
    formatCount(sequences),
    formatCount(length),
  ];
  return [
    size,
    { name: strings.layers, value: formatCount(layers.length) },
    {
      name: strings.calibration,
      value: strings.calibrationValue(...sizeOf(calibration), source),
      title: calibration.source,
    },
    {
      name: strings.fittedTo,
      value:
        fitting === undefined ? strings.fittedToSame : strings.fittedToOther(...sizeOf(fitting)),
      title: fitting === undefined ? strings.fittedToSameTitle : strings.fittedToOtherTitle,
    },
    { name: strings.metric, value: metric, title: metricDefinition },
    { name: strings.device, value: device },
    ...(job.kind === 'running' && job.what === 'sensitivity'
      ? []
      : [
          { name: strings.took, value: formatDuration(seconds) },
          { name: strings.file, value: fileName(file), title: file },
        ]),
  ];
}
