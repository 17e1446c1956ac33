import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { paletteColor } from '../charts/palette';
import { Section } from '../components/section';
import { SortedTable } from '../components/table';
import { formatBytes, formatCount, formatDistance, formatPercent } from '../format';
import { timeText } from './cell-text';
import { isEmbeddingOrHead, roleName } from './cells';
import type { CellSet, LayerCell } from './cells';
import { sorted } from './rows';
import { sortKeys } from './sort-keys';
import type { SortKey } from './sort-keys';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';
import { glossary } from '../../extension/core/glossary';
import type { Message } from '../../extension/core/message';
import { listed, tell } from '../translate';

const TEXTS: ReadonlySet<SortKey> = new Set(['tensor', 'role', 'setting']);

const MEANINGS: Readonly<Partial<Record<SortKey, Message>>> = {
  setting: glossary.setting,
  loss: glossary.layerDistance,
  error: glossary.matrixError,
  outputError: glossary.outputError,
  decodeMsPerToken: glossary.decodeTime,
};

interface LayersProps {
  readonly panel: CompressionPanel;
  readonly cells: CellSet;
}

/** Every linear layer as a line, sorted as the user likes. */
export function Layers({ panel, cells: { cells, scale } }: LayersProps): VNode {
  const { sort } = panel.view.value;
  const rows = useMemo(() => sorted(cells, sort), [cells, sort]);
  const isTimed = cells.some(({ layer }) => layer.decodeMsPerToken > 0);
  return (
    <Section
      class={isTimed ? 'candidates' : 'candidates untimed'}
      id="table-title"
      title={strings.table}
    >
      <SortedTable
        caption={strings.tableCaption}
        label={strings.table}
        columns={sortKeys.map((key) => ({
          key,
          title: strings.column[key],
          isNumber: !TEXTS.has(key),
          meaning: MEANINGS[key] && tell(MEANINGS[key]),
        }))}
        sort={sort}
        onSort={(next) => {
          panel.setView({ sort: next });
        }}
        items={rows}
        context={scale}
        row={(cell) => (
          <Row
            key={cell.id}
            cell={cell}
            position={cell.loss === undefined ? 0 : (scale?.position(cell.loss) ?? 0)}
          />
        )}
      />
    </Section>
  );
}

interface RowProps {
  readonly cell: LayerCell;
  /** Position of the distance on the color scale. */
  readonly position: number;
}

function Row({ cell, position }: RowProps): VNode {
  const { layer, entry, loss, drawbacks } = cell;
  const share = (value: number | undefined) =>
    value === undefined ? strings.none : formatPercent(value);
  return (
    <tr>
      <th scope="row">{layer.tensor}</th>
      <td>{roleName(layer)}</td>
      <td class="number">{isEmbeddingOrHead(layer) ? strings.none : formatCount(layer.block)}</td>
      <td>{settingText(cell)}</td>
      <td class="number">
        {loss !== undefined && (
          <span
            class="swatch"
            aria-hidden="true"
            style={{ backgroundColor: paletteColor(position) }}
          />
        )}
        {loss === undefined ? strings.none : formatDistance(loss)}
      </td>
      <td class="number">{share(entry?.error)}</td>
      <td class="number">{share(entry?.outputError)}</td>
      <td class="number">{formatBytes(layer.bytes)}</td>
      <td class="number" title={listed(drawbacks.map(strings.drawback)) || undefined}>
        {drawbacks.includes('bytes') && (
          <>
            <span class="drawback">{strings.drawback('bytes')}</span>{' '}
          </>
        )}
        {entry === undefined ? strings.none : formatBytes(entry.bytes)}
      </td>
      <td class="number">{timeText(layer.decodeMsPerToken, entry?.decodeMsPerToken)}</td>
    </tr>
  );
}

function settingText({ entry, status }: LayerCell): string {
  if (entry !== undefined) {
    return listed([strings.method(entry.method), strings.setting(entry)]);
  }
  if (status === 'kept') return strings.rowKept;
  return status === 'removed' ? strings.rowRemoved : strings.none;
}
