import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import type { StatisticsState } from '../../extension/protocol/explorer';
import { formatNumber, histogramSummary } from '../charts/histogram';
import type { HistogramCounts } from '../charts/histogram';
import { Button, Checkbox } from '../components/controls';
import { Facts } from '../components/facts';
import type { Fact } from '../components/facts';
import { Histogram } from '../components/histogram';
import { Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { fileName } from '../file-name';
import { formatBytes, formatCount, formatPercent } from '../format';
import { strings } from './strings';
import { tensorsIn } from './tree-model';
import type { TreeNode } from './tree-model';
import type { ExplorerPanel, ModelDescription, StoredTensor, TensorStatistics } from './types';
import { glossary } from '../../extension/core/glossary';
import type { Message } from '../../extension/core/message';
import { tell } from '../translate';

interface DetailsProps {
  readonly panel: ExplorerPanel;
  readonly model: ModelDescription;
  readonly node: TreeNode | undefined;
  /** Selects a tensor of those in what is selected. */
  readonly choose: (tensor: string) => void;
}

/** Tensors listed of what is selected. */
const mostListed = 200;

/** Details of the selected tree row: its numbers and, for a tensor, its statistics. */
export function Details({ panel, model, node, choose }: DetailsProps): VNode {
  return (
    <Section class="chosen" id="details-title" title={strings.details}>
      {node === undefined ? (
        <p class="muted">{strings.nothingChosen}</p>
      ) : (
        <>
          <h3>{node.tensor?.name ?? node.label}</h3>
          <p class="muted">{node.note}</p>
          <Facts stacked facts={listFacts(node, model)} />
          {node.tensor === undefined ? (
            <TensorList node={node} choose={choose} />
          ) : (
            <Statistics panel={panel} tensor={node.tensor} />
          )}
        </>
      )}
    </Section>
  );
}

interface TensorListProps {
  readonly node: TreeNode;
  readonly choose: (tensor: string) => void;
}

function TensorList({ node, choose }: TensorListProps): VNode | null {
  const tensors = tensorsIn(node);
  if (tensors.length === 0) return null;
  const listed = tensors.slice(0, mostListed);
  const shown = distinct(tensors);
  const left = tensors.length - listed.length;
  const { column } = strings;
  return (
    <div class="tensor-list">
      <ScrollingTable
        caption={strings.numberOfTensors}
        columns={[{ title: column.name }, { title: column.shape }, { title: column.dtype }]}
        rows={listed.map(({ tensor, label, shape, dtype }) => {
          const name = tensor?.name ?? label;
          const onClick = () => {
            choose(name);
          };
          return [
            <button type="button" class="link" title={name} onClick={onClick}>
              {shown(name, label)}
            </button>,
            shape,
            dtype,
          ];
        })}
      />
      {left > 0 && <p class="muted">{strings.moreTensors(formatCount(left))}</p>}
    </div>
  );
}

/** Labels, or the distinct suffixes of names if tensors of several blocks have the same label. */
function distinct(tensors: readonly TreeNode[]): (name: string, label: string) => string {
  if (new Set(tensors.map(({ label }) => label)).size === tensors.length) {
    return (_, label) => label;
  }
  const parts = tensors.map(({ tensor, label }) => (tensor?.name ?? label).split('.'));
  const [first = []] = parts;
  const differing = first.findIndex((part, i) => parts.some((own) => own[i] !== part));
  return (name) => name.split('.').slice(Math.max(0, differing)).join('.');
}

interface StatisticsProps {
  readonly panel: ExplorerPanel;
  readonly tensor: StoredTensor;
}

function Statistics({ panel, tensor }: StatisticsProps): VNode {
  const state = panel.get('statistics')[tensor.name];
  const known = state?.kind === 'known' ? state.statistics : undefined;
  useEffect(() => {
    if (known !== undefined) panel.announce(strings.statisticsKnown(tensor.name));
  }, [known === undefined, tensor.name]);
  const size = strings.readTooLarge(formatBytes(tensor.bytes));
  return (
    <>
      <Button
        label={strings.readNumbers}
        title={`${strings.readNumbersTitle} (${size})`}
        hidden={state !== undefined && state.kind !== 'failed'}
        onClick={() => {
          panel.run.measure(tensor.name);
        }}
      />
      <p class="muted" role="status" data-failed={state?.kind === 'failed' ? '' : undefined}>
        {statisticsStatus(state)}
      </p>
      {known !== undefined && (
        <>
          <Facts stacked class="statistics" facts={statisticFacts(known)} />
          {known.histogram === undefined ? (
            <p class="muted">{strings.noHistogram}</p>
          ) : (
            <HistogramChart panel={panel} histogram={known.histogram} />
          )}
        </>
      )}
    </>
  );
}

function statisticsStatus(state: StatisticsState | undefined): string {
  if (state?.kind === 'reading') return strings.reading(formatPercent(state.share));
  return state?.kind === 'failed' ? state.message : '';
}

interface HistogramProps {
  readonly panel: ExplorerPanel;
  readonly histogram: HistogramCounts;
}

function HistogramChart({ panel, histogram }: HistogramProps): VNode {
  const { logarithmic } = panel.view.value;
  return (
    <div class="histogram">
      <div class="section-head">
        <h4>{strings.histogram}</h4>
        <Checkbox
          label={strings.logarithmic}
          checked={logarithmic}
          onChange={(checked) => {
            panel.setView({ logarithmic: checked });
          }}
        />
      </div>
      <Histogram
        histogram={histogram}
        label={histogramSummary(histogram)}
        counted={strings.numbers}
        logarithmic={logarithmic}
      />
    </div>
  );
}

function listFacts(node: TreeNode, { totals }: ModelDescription): Fact[] {
  const { tensor, tensors } = node;
  if (tensor === undefined && tensors === 0) return [];
  const share = totals.parameters === 0 ? 0 : node.parameters / totals.parameters;
  const optional = (
    name: string,
    value: number | undefined,
    format: (value: number) => string,
    meaning?: Message,
  ): Fact[] =>
    value === undefined || value === 0
      ? []
      : [{ name, value: format(value), title: meaning && tell(meaning) }];
  const { column } = strings;
  const isNamed = tensor === undefined && !/^(part|flow):/.test(node.id) && node.kind !== 'block';
  return [
    ...(isNamed ? [{ name: strings.identifier, value: node.id }] : []),
    ...(tensor === undefined
      ? [{ name: strings.numberOfTensors, value: formatCount(tensors) }]
      : []),
    ...(node.dtype === '' ? [] : [{ name: column.dtype, value: node.dtype }]),
    ...(tensor === undefined ? [] : [{ name: column.shape, value: node.shape }]),
    { name: strings.parameters, value: formatCount(node.parameters) },
    { name: strings.share, value: formatPercent(share) },
    { name: strings.size, value: `${formatBytes(node.bytes)} (${formatCount(node.bytes)})` },
    ...optional(strings.flopsPerToken, node.flopsPerToken, formatCount, glossary.flopsPerToken),
    ...optional(strings.kvPerToken, node.kvBytesPerToken, formatBytes, glossary.kvBytesPerToken),
    ...(tensor === undefined ? [] : [{ name: strings.file, value: fileName(tensor.file) }]),
    ...optional(strings.offset, tensor?.offset, formatCount),
  ];
}

function statisticFacts(known: TensorStatistics): Fact[] {
  const { statistic } = strings;
  const number = (value: number | undefined) =>
    value === undefined ? strings.unknown : formatNumber(value);
  const share = (count: number) =>
    count === 0 || known.count === 0
      ? formatCount(count)
      : strings.countOf(formatCount(count), formatPercent(count / known.count));
  return [
    { name: statistic.count, value: formatCount(known.count) },
    { name: statistic.mean, value: number(known.mean) },
    { name: statistic.standardDeviation, value: number(known.standardDeviation) },
    { name: statistic.min, value: number(known.min) },
    { name: statistic.max, value: number(known.max) },
    { name: statistic.zeros, value: share(known.zeros) },
    { name: statistic.nan, value: share(known.nan) },
    { name: statistic.infinite, value: share(known.infinite) },
  ];
}
