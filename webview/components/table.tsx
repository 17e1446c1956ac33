import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import { formatCount } from '../format';
import { useGradually } from '../kit/after-paint';
import { strings } from '../strings';
import { Icon } from './icons';

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly isNumber?: boolean;
}

/** The heading of a row, and its other cells. */
export type Row = readonly ComponentChildren[];

interface TableProps {
  readonly caption: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

/** A plain table; the first cell of each row is its heading. */
export function Table({ caption, columns, rows }: TableProps): VNode {
  const classes = columns.map(({ isNumber }) => (isNumber === true ? 'number' : undefined));
  return (
    <table class="plain">
      <caption class="sr-only">{caption}</caption>
      <thead>
        <tr>
          {columns.map(({ title }, i) => (
            <th key={title} scope="col" class={classes[i]}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(([first, ...others], row) => (
          <tr key={row}>
            <th scope="row" class={classes[0]}>
              {first}
            </th>
            {others.map((cell, i) => (
              <td key={i} class={classes[i + 1]}>
                {cell}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** So many take less than 50 ms to be laid out. */
const rowsAtOnce = 40;
/** Rows before more are asked for: every change lays out all of them. */
const rowsAtFirst = 200;

/** A table that scrolls by itself where it is too long, and shows many rows only on demand. */
export function ScrollingTable(props: TableProps): VNode {
  const { caption, rows } = props;
  const [most, setMost] = useState(rowsAtFirst);
  const shown = Math.min(most, rows.length);
  const parts = 1 + useGradually(Math.ceil(shown / rowsAtOnce) - 1);
  const left = rows.length - shown;
  return (
    <div class="table-scroll short" tabIndex={0} role="region" aria-label={caption}>
      <Table {...props} rows={rows.slice(0, Math.min(shown, parts * rowsAtOnce))} />
      {left > 0 && (
        <button
          type="button"
          class="more"
          onClick={() => {
            setMost(most + rowsAtFirst);
          }}
        >
          {strings.moreRows(formatCount(Math.min(left, rowsAtFirst)), formatCount(left))}
        </button>
      )}
    </div>
  );
}

/** The column that a table is sorted by. */
export interface ColumnSort<Key extends string> {
  readonly key: Key;
  readonly descending: boolean;
}

/** The order after a heading was pressed: its column, or the same the other way round. */
export function sortBy<Key extends string>(sort: ColumnSort<Key>, key: Key): ColumnSort<Key> {
  return { key, descending: sort.key === key && !sort.descending };
}

interface SortHeaderProps<Key extends string> {
  readonly column: Key;
  readonly title: string;
  readonly isNumber: boolean;
  readonly sort: ColumnSort<Key>;
  readonly onSort: (sort: ColumnSort<Key>) => void;
}

/** The heading of a column, a button that sorts by it; pressed again, it turns the order round. */
function SortHeader<Key extends string>(props: SortHeaderProps<Key>): VNode {
  const { column, title, isNumber, sort, onSort } = props;
  const order = sort.key !== column ? 'none' : sort.descending ? 'descending' : 'ascending';
  return (
    <th scope="col" class={isNumber ? 'number' : undefined} aria-sort={order}>
      <button
        type="button"
        onClick={() => {
          onSort(sortBy(sort, column));
        }}
      >
        <span>{title}</span>
        <span class="arrow" aria-hidden="true">
          {order !== 'none' && <Icon name={order} />}
        </span>
      </button>
    </th>
  );
}

interface SortedTableProps<Key extends string, Item> {
  readonly caption: string;
  readonly class?: string;
  /** Of the region that scrolls. */
  readonly label: string;
  readonly columns: readonly (Column & { readonly key: Key })[];
  readonly sort: ColumnSort<Key>;
  readonly onSort: (sort: ColumnSort<Key>) => void;
  /** What there is a row for, sorted. */
  readonly items: readonly Item[];
  /** A row, which begins with its heading. */
  readonly row: (item: Item) => VNode;
  /** Stands below where there is no row. */
  readonly empty?: string;
}

/** A table whose headings sort it, which scrolls by itself where it is too long. */
export function SortedTable<Key extends string, Item>(props: SortedTableProps<Key, Item>): VNode {
  const { caption, label, columns, sort, onSort, items, row, empty } = props;
  const parts = 1 + useGradually(Math.ceil(items.length / rowsAtOnce) - 1);
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={label}>
      <table class={props.class}>
        <caption class="sr-only">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ key, title, isNumber = false }) => (
              <SortHeader key={key} column={key} {...{ title, isNumber, sort, onSort }} />
            ))}
          </tr>
        </thead>
        <tbody>{items.slice(0, parts * rowsAtOnce).map(row)}</tbody>
      </table>
      {items.length === 0 && <p class="muted">{empty}</p>}
    </div>
  );
}
