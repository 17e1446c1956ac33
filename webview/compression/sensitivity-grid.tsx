import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { bandIndex, inkOn } from '../charts/palette';
import { setPaletteClass } from '../charts/palette-classes';
import { Dropdown } from '../components/controls';
import { Facts } from '../components/facts';
import { GridLegend, LegendKey } from '../components/legend';
import { Section } from '../components/section';
import { Slider } from '../components/slider';
import { setAttribute } from '../dom';
import { formatCount, formatDistanceShort, formatShare } from '../format';
import { Grid } from '../grid/grid';
import { joinSentences, listed, t } from '../translate';
import { cellFacts, cellLabel } from './cell-text';
import { listShares, schemeKey } from './cells';
import type { CellSet, LayerCell, Shown } from './cells';
import type { Frame } from './frame';
import { useSteadyHeight } from '../kit/steady-height';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';
import type { Drawback } from './types';

interface GridProps {
  readonly panel: CompressionPanel;
  readonly frame: Frame;
  readonly cells: CellSet;
  readonly shown: Shown;
}

const words = { corner: strings.block, nothing: strings.nothing };

/** Blocks against matrices, what is shown of them, and the numbers of the cell pointed at. */
export function SensitivityGrid(props: GridProps): VNode {
  const { panel, frame, cells, shown } = props;
  const [pointed, setPointed] = useState<string>();
  const job = panel.get('job');
  const isRunning = job.kind === 'running' && job.makesDocument;
  const options = frame.schemes.map((scheme) => ({
    value: schemeKey(scheme),
    label: strings.scheme(scheme),
  }));
  return (
    <Section
      class={isRunning ? 'heatmap running' : 'heatmap'}
      id="grid-title"
      title={strings.grid}
      controls={
        <Dropdown
          label={strings.shown}
          options={
            panel.get('plan') === undefined
              ? options
              : [...options, { value: 'plan', label: strings.plan }]
          }
          value={shown.kind === 'plan' ? 'plan' : shown.scheme}
          onChange={(chosen) => {
            panel.setView({ shown: chosen });
          }}
        />
      }
    >
      <Setting {...props} />
      <Grid<LayerCell>
        items={cells.cells}
        lines={cells.lines}
        context={cells.scale}
        label={strings.grid}
        describedBy="grid-hint"
        chooses={false}
        words={words}
        encoderBlocks={panel.get('model').encoderBlocks}
        draw={(element, fill, cell) => {
          drawCell(element, fill, cell, cells);
        }}
        pointed={setPointed}
      />
      <CellDetails cell={cells.byId.get(pointed ?? '')} metric={frame.table.metric} />
      <p class="pays">{paysText(cells)}</p>
      <Legend frame={frame} cells={cells} />
    </Section>
  );
}

function drawCell(
  element: HTMLElement,
  fill: HTMLElement,
  cell: LayerCell,
  { scale }: CellSet,
): void {
  const { status, loss, drawbacks } = cell;
  setAttribute(element, 'data-status', status === 'kept' || status === 'removed' ? 'kept' : status);
  setAttribute(element, 'data-mark', status === 'removed' ? 'removed' : 'keep');
  setAttribute(element, 'aria-label', cellLabel(cell));
  setAttribute(element, 'data-drawback', drawbacks.length > 0);
  setAttribute(element, 'data-value', loss === undefined ? undefined : formatDistanceShort(loss));
  if (loss === undefined || status === 'removed') {
    setPaletteClass(fill, undefined);
    setAttribute(element, 'data-ink', undefined);
    setAttribute(fill, 'data-band', undefined);
  } else {
    const position = scale?.position(loss) ?? 0;
    setPaletteClass(fill, position);
    setAttribute(element, 'data-ink', inkOn(position));
    setAttribute(fill, 'data-band', bandIndex(position));
  }
}

/** Summary of whether the shown compression pays off. */
function paysText({ cells }: CellSet): string {
  const measured = cells.filter(({ entry }) => entry !== undefined);
  if (measured.length === 0) return '';
  const layers = formatCount(measured.length);
  const parts = (['bytes', 'time', 'flops'] as const).flatMap((drawback: Drawback) => {
    const count = measured.filter(({ drawbacks }) => drawbacks.includes(drawback)).length;
    return count === 0 ? [] : [strings.paysPart(formatCount(count), drawback)];
  });
  const verdict = parts.length === 0 ? strings.pays(layers) : strings.paysNot(parts, layers);
  const isMpo = measured.some(({ entry }) => entry?.method === 'mpo');
  return isMpo ? joinSentences([verdict, strings.mpoNote]) : verdict;
}

/** The slider over the shares of bytes that a method's settings leave. */
function Setting({ panel, frame: { table }, shown }: GridProps): VNode {
  if (shown.kind === 'plan') return <p class="muted setting-note">{strings.planShown}</p>;
  const shares = [...listShares(table, shown.scheme)].reverse();
  const [only] = shares;
  if (shares.length < 2) {
    return (
      <p class="muted setting-note">
        {only !== undefined && strings.oneSetting(formatShare(only / 100))}
      </p>
    );
  }
  const at = nearestIndex(shares, shown.share);
  return (
    <Slider
      id="share"
      label={strings.share}
      least={0}
      most={shares.length - 1}
      value={at}
      text={strings.shareValue(formatShare((shares[at] ?? 0) / 100))}
      onInput={(index) => {
        const share = shares[index];
        if (share !== undefined) panel.setView({ share });
      }}
    />
  );
}

function nearestIndex(shares: readonly number[], share: number): number {
  return shares.reduce(
    (best, one, index) =>
      Math.abs(one - share) < Math.abs((shares[best] ?? 0) - share) ? index : best,
    0,
  );
}

interface DetailsProps {
  readonly cell: LayerCell | undefined;
  /** Metric of the distance. */
  readonly metric: string;
}

/** The numbers of one cell, below the grid: what a tooltip would say, at a place that stays. */
function CellDetails({ cell, metric }: DetailsProps): VNode {
  const box = useSteadyHeight(true);
  return (
    <div ref={box} class="details">
      <p class="muted" id="grid-hint" hidden={cell !== undefined}>
        {strings.gridHint}
      </p>
      {cell !== undefined && (
        <div>
          <p class="details-title">
            <strong>{cell.layer.tensor}</strong>
            <span class="muted">{statusText(cell)}</span>
            <span class="drawback">{listed(cell.drawbacks.map(strings.drawback))}</span>
          </p>
          <Facts facts={cellFacts(cell, metric)} />
        </div>
      )}
    </div>
  );
}

function statusText({ status, entry }: LayerCell): string {
  if (status !== 'measured') return strings.status[status];
  return entry === undefined ? strings.status.pending : strings.scheme(entry);
}

/** Legend of the grid: colors and marks. */
function Legend({ frame: { table }, cells }: Pick<GridProps, 'frame' | 'cells'>): VNode {
  const { scale } = cells;
  const statuses = new Set(cells.cells.map(({ status }) => status));
  return (
    <GridLegend
      title={scale === undefined ? strings.legendNothing : strings.legend(table.metric)}
      scale={scale}
      low={strings.cheap}
      high={strings.costly}
      definition={t(table.metricDefinition)}
    >
      {cells.cells.some(({ drawbacks }) => drawbacks.length > 0) && (
        <LegendKey text={strings.legendDrawback} status="sample" hasDrawback />
      )}
      {statuses.has('pending') && <LegendKey text={strings.legendPending} status="pending" />}
      {statuses.has('kept') && <LegendKey text={strings.legendKept} status="kept" />}
      {statuses.has('removed') && (
        <LegendKey text={strings.legendRemoved} status="kept" mark="removed" />
      )}
    </GridLegend>
  );
}
