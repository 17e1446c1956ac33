import { Fragment } from 'preact';
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { paletteColor } from '../charts/palette';
import { Dropdown, TextField } from '../components/controls';
import { Icon } from '../components/icons';
import { Section } from '../components/section';
import { SortedTable } from '../components/table';
import { formatBytes, formatCompact, formatCount } from '../format';
import { filterFor, fixedKeys, selectRows } from './candidate-rows';
import type { Filter, SortKey } from './candidate-rows';
import { distanceText, widthText } from './cell-text';
import type { Cell } from './cells';
import { knownColumns } from './columns';
import type { HeatmapColumn } from './columns';
import { listKinds } from './kinds';
import { nextMark } from './selection';
import { strings } from './strings';
import type { HeatmapPanel } from './heatmap-panel';
import type { Mark, SublayerKind } from './types';

const NUMBERS: ReadonlySet<SortKey> = new Set([
  'block',
  'distance',
  'rank',
  'width',
  'parameters',
  'bytes',
]);

/** Columns of the table; those of the heatmap precede the mark. */
const tableColumns = (known: readonly HeatmapColumn[], isWidthPruned: boolean) => [
  ...fixedColumns.filter(({ key }) => key !== 'mark' && (isWidthPruned || key !== 'width')),
  ...known.map(({ id, title }) => ({ key: id, title, isNumber: true })),
  { key: 'mark', title: strings.column.mark, isNumber: false },
];

const fixedColumns = fixedKeys.map((key) => ({
  key: key as string,
  title: strings.column[key],
  isNumber: NUMBERS.has(key),
}));

interface CandidatesProps {
  readonly panel: HeatmapPanel;
  readonly cells: readonly Cell[];
  readonly onMark: (sublayer: string, mark: Mark) => void;
}

/** Every sublayer as a line that can be sorted and filtered, with a button that changes its mark. */
export function Candidates({ panel, cells, onMark }: CandidatesProps): VNode {
  const { sort, filter: wanted } = panel.view.value;
  const kinds = useMemo(() => listKinds(cells.map(({ sublayer }) => sublayer)), [cells]);
  const filter = filterFor(wanted, kinds);
  const isWidthPruned = cells.some(({ widthPruned }) => widthPruned !== undefined);
  const known = useMemo(() => knownColumns(cells), [cells]);
  const shown = useMemo(() => selectRows(cells, filter, sort), [cells, wanted, sort]);
  return (
    <Section
      class="candidates"
      id="table-title"
      title={strings.table}
      note={strings.rowsShown(shown.length, cells.length)}
      controls={
        <Filters
          filter={filter}
          kinds={kinds}
          onChange={(change) => {
            panel.setView({ filter: { ...panel.view.peek().filter, ...change } });
          }}
        />
      }
    >
      <SortedTable
        class="candidate-table"
        caption={strings.tableCaption}
        label={strings.tableRegion}
        columns={tableColumns(known, isWidthPruned)}
        sort={sort}
        onSort={(next) => {
          panel.setView({ sort: next });
        }}
        items={shown}
        row={(cell) => <Row key={cell.id} {...{ cell, known, isWidthPruned, onMark }} />}
        context={`${isWidthPruned} ${known.map(({ id }) => id).join()}`}
        empty={strings.noRows}
      />
    </Section>
  );
}

interface FiltersProps {
  readonly filter: Filter;
  readonly kinds: readonly SublayerKind[];
  readonly onChange: (change: Partial<Filter>) => void;
}

function Filters({ filter, kinds, onChange }: FiltersProps): VNode {
  return (
    <>
      <TextField
        label={strings.filterText}
        value={filter.text}
        onInput={(text) => {
          onChange({ text });
        }}
      />
      <Dropdown
        label={strings.filterKind}
        options={[
          { value: 'all', label: strings.allKinds },
          ...kinds.map((value) => ({ value, label: strings.kind(value) })),
        ]}
        value={filter.kind}
        onChange={(kind) => {
          onChange({ kind });
        }}
      />
      <Dropdown
        label={strings.filterMark}
        options={[
          { value: 'all', label: strings.allMarks },
          { value: 'keep', label: strings.markFilter.keep },
          { value: 'removed', label: strings.markFilter.removed },
          { value: 'protected', label: strings.markFilter.protected },
        ]}
        value={filter.mark}
        onChange={(mark) => {
          onChange({ mark });
        }}
      />
    </>
  );
}

interface RowProps {
  readonly cell: Cell;
  /** Columns of the heatmap that the table has. */
  readonly known: readonly HeatmapColumn[];
  /** True if there is a column of widths. */
  readonly isWidthPruned: boolean;
  readonly onMark: CandidatesProps['onMark'];
}

function Row({ cell, known, isWidthPruned, onMark }: RowProps): VNode {
  const { id, line, block, sublayer, status, position, rank, mark, order, widthPruned } = cell;
  const markText = strings.markButton(mark, order);
  return (
    <tr data-mark={mark}>
      <th scope="row">
        {id.split('.').map((part, index) => (
          <Fragment key={index}>
            {index > 0 && (
              <>
                .<wbr />
              </>
            )}
            {part}
          </Fragment>
        ))}
      </th>
      <td>{line}</td>
      <td class="number">{formatCount(block)}</td>
      <td class="number">
        {status === 'measured' && position !== undefined && (
          <span
            class="swatch"
            aria-hidden="true"
            style={{ backgroundColor: paletteColor(position) }}
          />
        )}
        {distanceText(cell)}
      </td>
      <td class="number">{rank === undefined ? strings.notYet : formatCount(rank)}</td>
      <td class="number" title={formatCount(sublayer.parameters)}>
        {formatCompact(sublayer.parameters)}
      </td>
      <td class="number">{formatBytes(sublayer.bytes)}</td>
      {isWidthPruned && (
        <td class="number kept">
          {widthPruned === undefined ? strings.notYet : widthText(widthPruned)}
        </td>
      )}
      {known.map(({ id: key, format }) => (
        <td key={key} class="number">
          {cell.values[key] === undefined ? strings.notYet : format(cell.values[key])}
        </td>
      ))}
      <td>
        <button
          type="button"
          class="mark-button"
          aria-label={strings.markButtonLabel(markText, id)}
          title={strings.nextMark[mark]}
          onClick={() => {
            onMark(id, nextMark(mark));
          }}
        >
          {mark === 'protected' && <Icon name="lock" />}
          <span>{markText}</span>
        </button>
      </td>
    </tr>
  );
}
