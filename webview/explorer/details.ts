import { BarChart } from '../charts/bar-chart';
import { createButton, createCheckbox } from '../components/toolkit';
import { h, setAttribute, setChildren, setText } from '../dom';
import { fileName } from '../file-name';
import { formatBytes, formatCompact, formatCount, formatPercent } from '../format';
import { formatNumber, histogramBars, histogramRows, histogramSummary } from './histogram';
import { folded, scrollingTable, simpleTable } from '../simple-table';
import { strings } from './strings';
import { tensorsIn } from './tree-model';
import type { TreeNode } from './tree-model';
import type { ModelDescription, TensorStatistics } from './types';
import type { StatisticsState } from '../../extension/protocol/explorer';

export interface DetailsActions {
  readonly measure: (tensor: string) => void;
  /** Chooses a tensor of those in what is chosen. */
  readonly choose: (tensor: string) => void;
  readonly setLogarithmic: (logarithmic: boolean) => void;
}

/** Tensors listed of what is chosen. */
const mostListed = 200;

/** What is chosen in the tree: its numbers and, of a tensor, what its numbers are like. */
export class Details {
  public readonly element: HTMLElement;
  private readonly hint = h('p', { class: 'muted' }, strings.nothingChosen);
  private readonly name = h('h3');
  private readonly facts = h('dl', { class: 'facts stacked' });
  private readonly note = h('p', { class: 'muted' });
  private readonly list = h('div');
  private readonly read;
  private readonly progress = h('p', { class: 'muted', role: 'status' });
  private readonly statistics = h('dl', { class: 'facts stacked statistics' });
  private readonly canvas = h('canvas', { role: 'img' });
  private readonly chartBox: HTMLElement;
  private readonly table = h('div', { class: 'table-scroll short' });
  private readonly noHistogram = h('p', { class: 'muted', hidden: true }, strings.noHistogram);
  private readonly chart: BarChart;
  private node: TreeNode | undefined;
  private listed: TreeNode | undefined;
  private drawn: TensorStatistics | undefined;

  public constructor(
    private logarithmic: boolean,
    private readonly actions: DetailsActions,
  ) {
    this.read = createButton(strings.readNumbers, false, () => {
      if (this.node?.tensor !== undefined) actions.measure(this.node.tensor.name);
    });
    this.chart = new BarChart(this.canvas);
    const log = createCheckbox(strings.logarithmic, logarithmic, (checked) => {
      this.logarithmic = checked;
      actions.setLogarithmic(checked);
      this.drawHistogram();
    });
    this.chartBox = h(
      'div',
      { class: 'histogram', hidden: true },
      h('div', { class: 'section-head' }, h('h4', {}, strings.histogram), log),
      h('div', { class: 'chart-box small' }, this.canvas),
      folded(strings.histogramTable, false, this.table),
    );
    setAttribute(this.table, 'tabindex', 0);
    setAttribute(this.table, 'role', 'region');
    setAttribute(this.table, 'aria-label', strings.histogramTable);
    this.element = h(
      'section',
      { class: 'chosen', 'aria-labelledby': 'details-title' },
      h('div', { class: 'section-head' }, h('h2', { id: 'details-title' }, strings.details)),
      this.hint,
      this.name,
      this.note,
      this.facts,
      this.list,
      this.read.element,
      this.progress,
      this.statistics,
      this.noHistogram,
      this.chartBox,
    );
  }

  public show(
    node: TreeNode | undefined,
    model: ModelDescription,
    state: StatisticsState | undefined,
  ): void {
    this.node = node;
    this.hint.hidden = node !== undefined;
    this.name.hidden = node === undefined;
    setText(this.name, node?.tensor?.name ?? node?.label ?? '');
    setChildren(this.facts, node === undefined ? [] : factsOf(node, model).map(fact));
    setText(this.note, node?.note ?? '');
    if (node !== this.listed) {
      this.listed = node;
      setChildren(this.list, node === undefined ? [] : this.tensorList(node));
    }
    this.showStatistics(node, state);
  }

  public recolor(): void {
    this.chart.recolor();
  }

  private tensorList(node: TreeNode): HTMLElement[] {
    const tensors = node.tensor === undefined ? tensorsIn(node) : [];
    if (tensors.length === 0) return [];
    const rows = tensors.slice(0, mostListed).flatMap(({ tensor, shape, dtype }) => {
      if (tensor === undefined) return [];
      const { name } = tensor;
      const button = h('button', { type: 'button', class: 'link' }, name);
      button.addEventListener('click', () => {
        this.actions.choose(name);
      });
      return [[button, shape, dtype]];
    });
    const left = tensors.length - rows.length;
    const { column } = strings;
    return [
      scrollingTable(
        strings.numberOfTensors,
        [{ title: column.name }, { title: column.shape }, { title: column.dtype }],
        rows,
      ),
      ...(left > 0 ? [h('p', { class: 'muted' }, strings.moreTensors(formatCount(left)))] : []),
    ];
  }

  private showStatistics(node: TreeNode | undefined, state: StatisticsState | undefined): void {
    const tensor = node?.tensor;
    const isIdle = state === undefined || state.kind === 'failed';
    this.read.element.hidden = tensor === undefined || !isIdle;
    if (tensor !== undefined) {
      const size = strings.readTooLarge(formatBytes(tensor.bytes));
      this.read.setState(undefined, `${strings.readNumbersTitle} (${size})`);
    }
    const text =
      state?.kind === 'reading'
        ? strings.reading(formatPercent(state.share))
        : state?.kind === 'failed'
          ? state.message
          : '';
    setText(this.progress, text);
    setAttribute(this.progress, 'data-failed', state?.kind === 'failed');
    const known = state?.kind === 'known' ? state.statistics : undefined;
    setChildren(this.statistics, known === undefined ? [] : statisticFacts(known).map(fact));
    this.chartBox.hidden = known?.histogram === undefined;
    this.noHistogram.hidden = known === undefined || known.histogram !== undefined;
    if (known !== this.drawn) {
      this.drawn = known;
      this.drawHistogram();
    }
  }

  private drawHistogram(): void {
    const histogram = this.drawn?.histogram;
    if (histogram === undefined) return;
    setAttribute(this.canvas, 'aria-label', histogramSummary(histogram));
    this.chart.show({
      bars: histogramBars(histogram),
      horizontal: false,
      logarithmic: this.logarithmic,
      format: formatCompact,
    });
    setChildren(this.table, [
      simpleTable(
        strings.histogramTable,
        [
          { title: strings.from, isNumber: true },
          { title: strings.to, isNumber: true },
          { title: strings.numbers, isNumber: true },
        ],
        histogramRows(histogram),
      ),
    ]);
  }
}

function fact([name, value]: readonly [string, string]): HTMLElement {
  return h('div', { class: 'fact' }, h('dt', {}, name), h('dd', {}, value));
}

function factsOf(node: TreeNode, { totals }: ModelDescription): [string, string][] {
  const { tensor } = node;
  if (tensor === undefined && node.tensors === 0) {
    return [];
  }
  const share = totals.parameters === 0 ? 0 : node.parameters / totals.parameters;
  const optional = (
    name: string,
    value: number | undefined,
    format: (value: number) => string,
  ): [string, string][] => (value === undefined || value === 0 ? [] : [[name, format(value)]]);
  return [
    ...(tensor === undefined ? identity(node) : []),
    ...(node.dtype === '' ? [] : [[strings.column.dtype, node.dtype] as [string, string]]),
    ...(tensor === undefined ? [] : [[strings.column.shape, node.shape] as [string, string]]),
    [strings.parameters, formatCount(node.parameters)],
    [strings.share, formatPercent(share)],
    [strings.size, `${formatBytes(node.bytes)} (${formatCount(node.bytes)})`],
    ...optional(strings.flopsPerToken, node.flopsPerToken, formatCount),
    ...optional(strings.kvPerToken, node.kvBytesPerToken, formatBytes),
    ...(tensor === undefined ? [] : [[strings.file, fileName(tensor.file)] as [string, string]]),
    ...optional(strings.offset, tensor?.offset, formatCount),
  ];
}

function identity({ id, kind, tensors }: TreeNode): [string, string][] {
  const isPart = /^(part|flow):/.test(id) || kind === 'block';
  return [
    ...(isPart ? [] : [[strings.identifier, id] as [string, string]]),
    [strings.numberOfTensors, formatCount(tensors)],
  ];
}

function statisticFacts(known: TensorStatistics): [string, string][] {
  const { statistic } = strings;
  const number = (value: number | undefined) =>
    value === undefined ? strings.unknown : formatNumber(value);
  const share = (count: number) =>
    count === 0 || known.count === 0
      ? formatCount(count)
      : strings.countOf(formatCount(count), formatPercent(count / known.count));
  return [
    [statistic.count, formatCount(known.count)],
    [statistic.mean, number(known.mean)],
    [statistic.standardDeviation, number(known.standardDeviation)],
    [statistic.min, number(known.min)],
    [statistic.max, number(known.max)],
    [statistic.zeros, share(known.zeros)],
    [statistic.nan, share(known.nan)],
    [statistic.infinite, share(known.infinite)],
  ];
}
