import type { ProfileState } from '../../extension/protocol/heatmap';
import { h } from '../dom';
import { formatBytes, formatCompact, formatCount, formatDistance } from '../format';
import { strings } from '../strings';
import type { Axis } from './curves';
import { curveRows, curvesOf } from './curves';
import type { ModelSummary } from './types';

/** Amounts on the horizontal axis as text. */
export const axisFormat: Readonly<Record<Axis, (value: number) => string>> = {
  sublayers: formatCount,
  parameters: formatCompact,
  bytes: formatBytes,
};

export interface CurveTable {
  readonly element: HTMLElement;
  update(profile: ProfileState, model: ModelSummary, axis: Axis): void;
}

/** The chart's numbers as a table, folded until asked for. */
export function createCurveTable(): CurveTable {
  const scroller = h('div', {
    class: 'table-scroll',
    tabindex: 0,
    role: 'region',
    'aria-label': strings.curveTable,
  });
  const element = h(
    'details',
    { class: 'numbers' },
    h('summary', {}, strings.curveTable),
    scroller,
  );
  let draw: () => void = () => undefined;
  element.addEventListener('toggle', () => {
    draw();
  });
  return {
    element,
    update: (profile, model, axis) => {
      draw = () => {
        if (element.open) scroller.replaceChildren(tableOf(profile, model, axis));
      };
      draw();
    },
  };
}

function tableOf(profile: ProfileState, model: ModelSummary, axis: Axis): HTMLElement {
  const { baselines, perplexity } = curvesOf(profile, model, axis);
  const withPerplexity = perplexity.length > 0;
  const number = (value: number | undefined) =>
    h('td', { class: 'number' }, value === undefined ? strings.notYet : formatDistance(value));
  const header = (text: string, isNumber: boolean) =>
    h('th', { scope: 'col', class: isNumber ? 'number' : undefined }, text);
  return h(
    'table',
    {},
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        header(strings.roundColumn, true),
        header(strings.removedColumn, false),
        header(strings.axisName[axis], true),
        header(strings.greedy, true),
        ...baselines.map(({ name }) => header(strings.baseline(name), true)),
        withPerplexity ? header(strings.perplexity, true) : undefined,
      ),
    ),
    h(
      'tbody',
      {},
      ...curveRows(profile, model, axis).map((row) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row', class: 'number' }, formatCount(row.rounds)),
          h('td', {}, row.removed ?? strings.originalModel),
          h('td', { class: 'number' }, axisFormat[axis](row.x)),
          number(row.distance),
          ...row.baselines.map(number),
          withPerplexity ? number(row.perplexity) : undefined,
        ),
      ),
    ),
  );
}
