import { createButton } from '../components/toolkit';
import { h, setChildren } from '../dom';
import { formatBytes, formatCompact, formatCount, formatPercent } from '../format';
import { fileName } from '../file-name';
import { formatNumber } from './histogram';
import { folded, scrollingTable, simpleTable } from '../simple-table';
import { strings } from './strings';
import { shapeText } from './tree-model';
import type { ModelComparison, Send } from './types';
import type { ComparisonState } from '../../extension/protocol/explorer';

export interface ComparisonSection {
  readonly element: HTMLElement;
  update(state: ComparisonState | undefined): void;
}

/** What another model has differently. */
export function createComparisonSection(send: Send): ComparisonSection {
  const element = h('section', { class: 'comparison', hidden: true });
  const end = (label: string) =>
    createButton(label, false, () => {
      send({ type: 'endComparison' });
    }).element;
  const weights = createButton(strings.compareWeights, false, () => {
    send({ type: 'compareWeights' });
  });
  weights.setState(undefined, strings.compareWeightsTitle);
  const head = (title: string, ...buttons: readonly HTMLElement[]) =>
    h(
      'div',
      { class: 'section-head' },
      h('h2', {}, title),
      h('div', { class: 'controls' }, ...buttons),
    );
  return {
    element,
    update: (state) => {
      element.hidden = state === undefined;
      if (state === undefined) {
        setChildren(element, []);
        return;
      }
      if (state.kind === 'known') {
        const { comparison } = state;
        const isWithWeights = comparison.weights !== undefined;
        const title = strings.comparison(comparison.against.name);
        const buttons = isWithWeights ? [] : [weights.element];
        setChildren(element, [head(title, ...buttons, end(strings.close)), ...parts(comparison)]);
        return;
      }
      const name = fileName(state.against);
      setChildren(
        element,
        state.kind === 'failed'
          ? [
              head(strings.comparing(name), end(strings.close)),
              h('p', { role: 'alert' }, strings.comparisonFailed(state.message)),
            ]
          : [
              head(
                state.weights
                  ? strings.comparingWeights(name, formatPercent(state.share))
                  : strings.comparing(name),
                end(strings.cancel),
              ),
            ],
      );
    },
  };
}

function parts(comparison: ModelComparison): HTMLElement[] {
  const { model, against, tensors, sameForm } = comparison;
  return [
    totals(comparison),
    h('p', {}, strings.sameForms(formatCount(sameForm))),
    ...weightTables(comparison),
    ...differences(strings.changedConfig, comparison.config, comparison),
    ...missing(model.name, tensors.model),
    ...missing(against.name, tensors.against),
    ...forms(comparison),
    ...differences(strings.changedMetadata, comparison.metadata, comparison),
  ];
}

function totals({ model, against }: ModelComparison): HTMLElement {
  const row = (name: string, value: (side: typeof model) => string) => [
    name,
    value(model),
    value(against),
  ];
  return simpleTable(
    strings.comparison(against.name),
    [
      { title: strings.property },
      { title: model.name, isNumber: true },
      { title: against.name, isNumber: true },
    ],
    [
      row(strings.family, ({ family }) => family ?? strings.unknown),
      row(strings.format, ({ format }) => format),
      row(strings.blocks, ({ blocks }) => formatCount(blocks)),
      row(strings.tensorsColumn, (side) => formatCount(side.tensors)),
      row(strings.parameters, ({ parameters }) => formatCompact(parameters)),
      row(strings.size, ({ bytes }) => formatBytes(bytes)),
    ],
  );
}

function differences(
  title: (count: string) => string,
  list: ModelComparison['config'],
  { model, against }: ModelComparison,
): HTMLElement[] {
  const text = (value: string | undefined) =>
    h('span', { class: 'wrap' }, value ?? strings.unknown);
  return list.length === 0
    ? []
    : [
        folded(
          title(formatCount(list.length)),
          true,
          scrollingTable(
            title(formatCount(list.length)),
            [{ title: strings.keyColumn }, { title: model.name }, { title: against.name }],
            list.map((one) => [one.field, text(one.model), text(one.against)]),
          ),
        ),
      ];
}

function missing(name: string, tensors: readonly string[]): HTMLElement[] {
  const title = strings.onlyIn(name, formatCount(tensors.length));
  return tensors.length === 0
    ? []
    : [
        folded(
          title,
          tensors.length <= 20,
          scrollingTable(
            title,
            [{ title: strings.column.name }],
            tensors.map((tensor) => [tensor]),
          ),
        ),
      ];
}

function forms({ forms: list, model, against }: ModelComparison): HTMLElement[] {
  const title = strings.otherForms(formatCount(list.length));
  const text = ({ dtype, shape }: (typeof list)[number]['model']) => `${dtype} ${shapeText(shape)}`;
  return list.length === 0
    ? []
    : [
        folded(
          title,
          list.length <= 20,
          scrollingTable(
            title,
            [{ title: strings.column.name }, { title: model.name }, { title: against.name }],
            list.map((one) => [one.name, text(one.model), text(one.against)]),
          ),
        ),
      ];
}

/** The tensors that differ most come first. */
function weightTables({ weights }: ModelComparison): HTMLElement[] {
  if (weights === undefined) return [];
  const { tensors, skipped } = weights;
  const different = tensors
    .filter(({ maxAbsolute }) => maxAbsolute !== 0)
    .sort((a, b) => (b.relativeFrobenius ?? Infinity) - (a.relativeFrobenius ?? Infinity));
  const title = strings.changedWeights(formatCount(different.length), formatCount(tensors.length));
  const number = (value: number | undefined) =>
    value === undefined ? strings.unknown : formatNumber(value);
  const cosine = (value: number | undefined) =>
    value === undefined ? strings.unknown : value.toFixed(6);
  return [
    different.length === 0
      ? h('p', {}, strings.weightsEqual)
      : folded(
          title,
          true,
          scrollingTable(
            title,
            [
              { title: strings.column.name },
              { title: strings.maxAbsolute, isNumber: true },
              { title: strings.relativeFrobenius, isNumber: true },
              { title: strings.cosine, isNumber: true },
            ],
            different.map((one) => [
              one.name,
              number(one.maxAbsolute),
              number(one.relativeFrobenius),
              cosine(one.cosine),
            ]),
          ),
        ),
    ...(skipped.length === 0
      ? []
      : [
          folded(
            strings.notCompared(formatCount(skipped.length)),
            false,
            scrollingTable(
              strings.notCompared(formatCount(skipped.length)),
              [{ title: strings.column.name }, { title: strings.reason }],
              skipped.map(({ name, reason }) => [name, reason]),
            ),
          ),
        ]),
  ];
}
