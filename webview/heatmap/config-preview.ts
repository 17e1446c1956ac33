import type { ConfigChange } from '../../extension/protocol/heatmap';
import { createButton } from '../components/toolkit';
import { h, setAttribute, setText } from '../dom';
import { strings } from '../strings';
import type { Hunk } from './config-hunks';
import { changedLines, hunksOf } from './config-hunks';
import type { PanelActions, PanelPart } from './panel-part';

/** What pruning would do to config.json, as a diff, and how the result loads. */
export function createConfigPreview({ send }: PanelActions): PanelPart {
  const counts = h('span', { class: 'counts', role: 'img' });
  const title = h('h2', { id: 'config-title' }, strings.config);
  const loadsWith = h('dd');
  const loads = h('dl', { class: 'loads' }, h('dt', {}, strings.loadsWith), loadsWith);
  const same = h('p', { class: 'muted' }, strings.configSame);
  const diff = h('div', {
    class: 'diff',
    tabindex: 0,
    role: 'region',
    'aria-label': strings.configLines,
  });
  const open = createButton(strings.openConfig, false, () => {
    send({ type: 'openConfig' });
  });
  let drawn: readonly ConfigChange[] | undefined;
  return {
    element: h(
      'section',
      { class: 'config', 'aria-labelledby': 'config-title' },
      h(
        'div',
        { class: 'section-head' },
        title,
        counts,
        h('div', { class: 'controls' }, open.element),
      ),
      loads,
      same,
      diff,
    ),
    update: ({ state }) => {
      const { lines, loadsWith: sentence } = state.configPreview;
      const isFile = /\.(?:gguf|onnx)$/i.test(state.model.path);
      setText(title, isFile ? strings.header : strings.config);
      open.element.hidden = isFile;
      const { added, removed } = changedLines(lines);
      const unchanged = added + removed === 0;
      setText(loadsWith, sentence);
      loads.hidden = sentence === '' || state.removed.length === 0;
      same.hidden = !unchanged || state.removed.length > 0;
      diff.hidden = lines.length === 0;
      counts.hidden = unchanged;
      setText(counts, strings.configCounts(added, removed));
      setAttribute(counts, 'aria-label', strings.configCountsLabel(added, removed));
      if (lines !== drawn) diff.replaceChildren(...hunksOf(lines).map(hunkElement));
      drawn = lines;
    },
  };
}

function hunkElement({ kind, lines }: Hunk): HTMLElement {
  const elements = lines.map(lineElement);
  if (kind === 'lines') return h('div', { class: 'hunk' }, ...elements);
  return h(
    'details',
    { class: 'hunk' },
    h('summary', {}, strings.unchangedLines(lines.length)),
    ...elements,
  );
}

const SIGNS = { added: '+', removed: '−', same: ' ' } as const;

function lineElement({ line, change }: ConfigChange): HTMLElement {
  const said = change === 'added' ? strings.lineAdded : strings.lineRemoved;
  return h(
    'div',
    { class: `line ${change}` },
    change === 'same' ? undefined : h('span', { class: 'sr-only' }, `${said}: `),
    h('span', { class: 'sign', 'aria-hidden': 'true' }, SIGNS[change]),
    h('code', {}, line),
  );
}
