import type { ChartSeries } from '../charts/curve-chart';
import { CurveChart } from '../charts/curve-chart';
import { onThemeChange } from '../charts/theme-colors';
import { createCheckbox, createDropdown } from '../components/toolkit';
import { h, setText } from '../dom';
import { formatDistance } from '../format';
import { strings } from '../strings';
import { createCurveLegend, seriesLooks } from './curve-legend';
import { axisFormat, createCurveTable } from './curve-table';
import type { Curves } from './curves';
import { axes, byteStep, curvesOf } from './curves';
import { curveSummary } from './curve-summary';
import { isEmpty } from './availability';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { totalsOf } from './selection';
import type { View } from './view-state';

/** Distance and perplexity against what is removed, with the baselines beside the greedy search. */
export function createCurveSection(view: View, actions: PanelActions): PanelPart {
  const { choose, setView } = actions;
  const canvas = h('canvas', { role: 'img' });
  const box = h('div', { class: 'chart-box' }, canvas);
  const waiting = h('p', { class: 'muted' }, strings.curveWaiting);
  const axis = createDropdown(
    strings.axis,
    axes.map((value) => ({ value, label: strings.axisName[value] })),
    view.axis,
    (value) => {
      setView({ axis: value });
    },
  );
  const logarithmic = createCheckbox(strings.logarithmic, view.logarithmic, (checked) => {
    setView({ logarithmic: checked });
  });
  const legend = createCurveLegend(actions);
  const table = createCurveTable();
  const summary = h('p', { class: 'sr-only' });
  const body = h('div', { class: 'chart-body' }, legend.element, box, summary, table.element);
  let chart: CurveChart | undefined;
  let drawn: readonly unknown[] = [];
  onThemeChange(() => chart?.recolor());

  const element = h(
    'section',
    { class: 'curve', 'aria-labelledby': 'curve-title' },
    h(
      'div',
      { class: 'section-head' },
      h('h2', { id: 'curve-title' }, strings.curve),
      h('div', { class: 'controls' }, axis.element, logarithmic),
    ),
    waiting,
    body,
  );
  return {
    element,
    update: (frame) => {
      const { state, view: current } = frame;
      const { profile } = state;
      const known = profile !== undefined && profile.rounds.length > 0;
      element.hidden = isEmpty(state);
      waiting.hidden = known;
      body.hidden = !known;
      if (!known) return;
      const inputs = [profile, state.removed, state.selectedRounds, current];
      if (inputs.every((input, index) => input === drawn[index])) return;
      drawn = inputs;
      const curves = curvesOf(profile, state.model, current.axis);
      legend.update(curves, current.hiddenSeries);
      table.update(profile, state.model, current.axis);
      const text = curveSummary(state, curves, axisFormat[current.axis]);
      setText(summary, text);
      canvas.setAttribute('aria-label', text);
      chart ??= new CurveChart(canvas, (rounds) => {
        choose({ type: 'selectRounds', rounds });
      });
      chart.show({
        series: seriesOf(curves, current.hiddenSeries),
        titles: {
          x: strings.axisName[current.axis],
          y: `${strings.distance} (${profile.settings.metric})`,
          y2: strings.perplexity,
        },
        logarithmic: current.logarithmic,
        selection: selectionOf(frame, curves),
        stepX: current.axis === 'bytes' ? byteStep(mostRemoved(curves)) : undefined,
        formatX: axisFormat[current.axis],
        formatY: formatDistance,
        pointTitle: ({ rounds, x }) =>
          `${strings.tooltipRound(rounds)} · ${strings.axisName[current.axis]}: ${axisFormat[current.axis](x)}`,
      });
    },
  };
}

function seriesOf(curves: Curves, hidden: readonly string[]): ChartSeries[] {
  const all = [
    { name: 'greedy', points: curves.greedy, label: strings.greedy },
    { name: 'predicted', points: curves.predicted, label: strings.predicted },
    ...curves.baselines.map(({ name, points }) => ({
      name,
      points,
      label: strings.baseline(name),
    })),
    { name: 'perplexity', points: curves.perplexity, label: strings.perplexitySeries },
  ] as const;
  return all
    .filter(({ name, points }) => points.length > 0 && !hidden.includes(name))
    .map(({ name, points, label }) => ({ label, points, ...seriesLooks[name] }));
}

function mostRemoved({ greedy, predicted, baselines }: Curves): number {
  const points = [...greedy, ...predicted, ...baselines.flatMap((baseline) => baseline.points)];
  return Math.max(...points.map((point) => point.x));
}

function selectionOf({ state, view }: Frame, curves: Curves): { x: number; y: number | undefined } {
  const point = curves.greedy.find(({ rounds }) => rounds === state.selectedRounds);
  if (point !== undefined) return { x: point.x, y: point.y };
  const totals = totalsOf(state.removed, state.model);
  return { x: totals[view.axis], y: undefined };
}
