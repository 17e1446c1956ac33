import { createButton } from '../components/toolkit';
import { h, setChildren, setText } from '../dom';
import { formatPercent } from '../format';
import { layOutGraph } from '../graph/graph-layout';
import { drawGraph } from '../graph/graph-svg';
import { folded, section, simpleTable } from '../simple-table';
import { modelAt, runsOf } from './population';
import { strings } from './strings';
import type { Evolution, Model, Place, Send, WrittenProgram } from './types';

export interface Details {
  readonly element: HTMLElement;
  update(evolution: Evolution, place: Place | undefined): void;
}

/** All that is known of one graph. */
export function createDetails(send: Send, announce: (text: string) => void): Details {
  const body = h('div');
  const copy = (label: string, text: string) =>
    createButton(label, false, () => {
      send({ type: 'copy', text });
      announce(strings.copied);
    }).element;
  let drawn = '';
  return {
    element: h('div', { class: 'chosen' }, section('details-title', strings.details, body)),
    update: (evolution, place) => {
      const model = place && modelAt(evolution, place);
      if (place === undefined || model === undefined) {
        setChildren(body, []);
        drawn = '';
        return;
      }
      const runs = runsOf(evolution, model.graphClass);
      const state = JSON.stringify([place, model.program.text, runs]);
      // Buttons that are focused stay where nothing has changed.
      if (state === drawn) return;
      drawn = state;
      setChildren(body, [
        h('h3', {}, model.name),
        h('div', { class: 'graph-box' }, drawGraph(model.graph, labelOf(model))),
        h('p', { class: 'muted' }, strings.legend),
        h('h4', {}, strings.program),
        h('code', { class: 'program', tabindex: 0 }, model.program.text),
        ...inlined(model.program),
        h(
          'div',
          { class: 'actions' },
          copy(strings.copyProgram, model.program.text),
          ...(model.program.uses.length === 0 || model.program.reduced === undefined
            ? []
            : [copy(strings.copyInlined, model.program.reduced.text)]),
        ),
        h('h4', {}, strings.runs),
        runTable(evolution, runs, place),
        folded(strings.edges, false, edgeTable(model)),
      ]);
    },
  };
}

function labelOf({ name, graph }: Model): string {
  return strings.graphLabel(name, graph.size, graph.edges.length / 2);
}

function inlined({ uses, reduced }: WrittenProgram): HTMLElement[] {
  const title = h('h4', {}, strings.inlined);
  if (uses.length === 0) return [title, h('p', { class: 'muted' }, strings.inlinedSame)];
  if (reduced === undefined) return [title, h('p', { class: 'muted' }, strings.inlinedTooLong)];
  setText(title, `${strings.inlined}: ${strings.symbols(reduced.symbols)}`);
  return [title, h('code', { class: 'program', tabindex: 0 }, reduced.text)];
}

function runTable(evolution: Evolution, runs: readonly Place[], shown: Place): HTMLElement {
  const titles = [
    strings.testLong,
    strings.validationLong,
    strings.trainLong,
    strings.trainingLong,
    strings.massLong,
  ];
  return simpleTable(
    strings.runs,
    [{ title: strings.iteration }, ...titles.map((title) => ({ title, isNumber: true }))],
    runs.flatMap((place) => {
      const model = modelAt(evolution, place);
      if (model === undefined) return [];
      const { test, validation, train, training } = model.metrics;
      const isShown = place.iteration === shown.iteration && place.model === shown.model;
      const number = place.iteration + 1;
      return [
        [
          isShown && runs.length > 1 ? strings.thisRun(number) : String(number),
          ...[test, validation, train, training].map(formatPercent),
          String(model.mass),
        ],
      ];
    }),
  );
}

function edgeTable({ graph }: Model): HTMLElement {
  const { edges, nodes } = layOutGraph(graph);
  const idAt = ({ x, y }: { readonly x: number; readonly y: number }) =>
    nodes.find((node) => node.x === x && node.y === y)?.id ?? 0;
  return simpleTable(
    strings.edges,
    [{ title: strings.edge }, { title: strings.between }, { title: strings.port, isNumber: true }],
    edges.map(({ id, port, ends: [from, to] }) => [
      String(id),
      strings.ends(idAt(from), idAt(to)),
      String(port),
    ]),
  );
}
