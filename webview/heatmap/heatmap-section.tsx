import { useComputed, useSignal } from '@preact/signals';
import { render } from 'preact';
import type { VNode } from 'preact';
import { bandIndex, inkOn } from '../charts/palette';
import { setPaletteClass } from '../charts/palette-classes';
import { Dropdown } from '../components/controls';
import { Icon } from '../components/icons';
import { Section } from '../components/section';
import { h, setAttribute } from '../dom';
import { formatDistanceShort } from '../format';
import { Grid } from '../grid/grid';
import { AfterPaint } from '../kit/after-paint';
import { CellDetails } from './cell-details';
import { cellLabel, cellTooltip } from './cell-text';
import { lostPlaces } from './cells';
import type { Cell } from './cells';
import { knownColumns } from './columns';
import type { Frame } from './frame';
import { HeatmapLegend } from './heatmap-legend';
import { nextMark } from './selection';
import { strings } from './strings';
import type { HeatmapPanel } from './heatmap-panel';

interface HeatmapProps {
  readonly panel: HeatmapPanel;
  readonly frame: Frame;
}

const words = {
  corner: strings.block,
  nothing: strings.noSublayer,
  lost: strings.removedEarlier,
};

/** A cell for each sublayer, which can be marked, and the numbers of the one pointed at. */
export function HeatmapSection({ panel, frame }: HeatmapProps): VNode {
  const { cells, setMark } = frame;
  const pointed = useSignal<string | undefined>(undefined);
  const model = panel.get('model');
  const lost = lostPlaces(model);
  const known = knownColumns(cells.cells);
  const isRunning = useComputed(() => {
    const job = panel.get('job');
    return job.kind === 'running' && job.makesDocument;
  }).value;
  return (
    <Section
      class={isRunning ? 'heatmap running' : 'heatmap'}
      id="heatmap-title"
      title={strings.heatmap}
      controls={
        known.length > 0 && (
          <Dropdown
            label={strings.colors}
            options={[
              { value: 'importance', label: strings.importance },
              ...known.map(({ id, title }) => ({ value: id, label: title })),
            ]}
            value={panel.view.value.colors}
            onChange={(colors) => {
              panel.setView({ colors });
            }}
          />
        )
      }
    >
      <Grid<Cell>
        items={cells.cells}
        lines={cells.lines}
        lost={lost}
        label={strings.heatmap}
        describedBy="grid-hint"
        chooses
        words={words}
        encoderBlocks={model.encoderBlocks}
        draw={drawCell}
        isPlain={isExpertCell}
        menuContext={menuContext}
        pointed={(id) => {
          pointed.value = id;
        }}
        clicked={({ id, mark }) => {
          setMark(id, nextMark(mark));
        }}
        pressed={({ key, ctrlKey }, { id, mark }) => {
          if (key === 'Enter' || key === ' ') {
            if (mark === 'protected') panel.announce(strings.lockedFirst(id));
            else setMark(id, mark === 'removed' ? 'keep' : 'removed');
          } else if (key.toLowerCase() === 'p' && !ctrlKey) {
            setMark(id, mark === 'protected' ? 'keep' : 'protected');
          } else return false;
          return true;
        }}
        scrollLeft={panel.view.peek().gridScroll}
        scrolled={(gridScroll) => {
          panel.setView({ gridScroll });
        }}
      />
      <CellDetails
        pointed={pointed}
        cells={cells}
        metric={panel.get('profile')?.settings.metric ?? ''}
      />
      <AfterPaint>
        <HeatmapLegend
          cells={cells}
          source={{
            model,
            drift: panel.get('drift'),
            measurements: panel.get('measurements'),
          }}
          profile={panel.get('profile')}
          hasLost={lost.length > 0}
        />
      </AfterPaint>
    </Section>
  );
}

/** Experts have neither patches nor widths. */
const isExpertCell = ({ sublayer }: Cell): boolean => sublayer.expert !== undefined;

/** @param before what the cell showed */
function drawCell(element: HTMLElement, fill: HTMLElement, cell: Cell, before?: Cell): void {
  const { status, mark, order, position } = cell;
  setAttribute(element, 'aria-label', cellLabel(cell));
  if (before !== undefined && looksSame(cell, before)) return;
  setAttribute(element, 'data-status', status);
  setAttribute(element, 'data-mark', mark);
  setAttribute(element, 'aria-selected', mark === 'removed' ? 'true' : 'false');
  setPaletteClass(fill, position);
  const isMeasured = status === 'measured';
  setAttribute(element, 'data-ink', isMeasured && position !== undefined && inkOn(position));
  setAttribute(fill, 'data-band', position === undefined ? undefined : bandIndex(position));
  setAttribute(element, 'data-depends', cell.stability?.dependsOnText === true);
  drawWidth(element, fill, cell);
  setAttribute(element, 'data-value', isMeasured ? shownValue(cell) : undefined);
  setAttribute(element, 'title', cellTooltip(cell));
  if (fill !== element) drawIcon(fill, cell.patch === undefined ? null : <Icon name="graph" />);
  // The order of thousands of experts would not fit into their cells.
  const place = cell.sublayer.expert === undefined ? order : undefined;
  const badge = cellBadge(element, fill, mark === 'protected' || place !== undefined);
  if (badge === undefined) return;
  setAttribute(badge, 'data-order', place);
  drawIcon(badge, mark === 'protected' ? <Icon name="lock" /> : null);
}

/** Fields of a cell that its element shows besides its label. A search changes the ranks of most cells at once. */
const shownFields = [
  ...(['status', 'mark', 'order', 'position', 'stability', 'shown', 'distance'] as const),
  ...(['atLeast', 'standardError', 'widthPruned', 'patch'] as const),
];

const looksSame = (a: Cell, b: Cell): boolean =>
  shownFields.every((field) => a[field] === b[field]);

function menuContext({ id, mark, sublayer }: Cell): object {
  const hasExperts = sublayer.experts !== undefined || sublayer.kind === 'expert';
  return { webviewSection: 'sublayer', sublayer: id, mark, hasExperts };
}

/** Shows the remaining share of a width-pruned sublayer as the length of a bar. */
function drawWidth(element: HTMLElement, fill: HTMLElement, { widthPruned }: Cell): void {
  setAttribute(element, 'data-width-pruned', widthPruned !== undefined);
  if (widthPruned === undefined) fill.style.removeProperty('--kept');
  else fill.style.setProperty('--kept', `${(100 * widthPruned.kept) / widthPruned.count}%`);
}

/** Element of a cell's mark; cells without marks have none. */
function cellBadge(cell: HTMLElement, fill: HTMLElement, isNeeded: boolean): Element | undefined {
  const index = fill === cell ? 0 : 1;
  if (cell.childElementCount === index && isNeeded) {
    cell.append(h('span', { class: 'badge', 'aria-hidden': 'true' }));
  }
  return cell.children[index];
}

/** The number in a cell. */
function shownValue({ shown, distance, atLeast }: Cell): string | undefined {
  const value = distance ?? atLeast;
  return shown ?? (value === undefined ? undefined : formatDistanceShort(value));
}

/** Most cells have none, now as before. */
function drawIcon(place: Element, icon: VNode | null): void {
  if (icon !== null || place.firstChild !== null) render(icon, place);
}
