import type { ComponentChildren, VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { useGrowingList } from '../kit/growing-list';
import { Icon } from './icons';

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly isNumber?: boolean | undefined;
  /** Explanation of the title, as a tooltip. */
  readonly meaning?: string | undefined;
}

/** The heading of a row, and its other cells. */
export type Row = readonly ComponentChildren[];

interface TableProps {
  readonly caption: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  /** Total number of rows, if not all of them are drawn yet. */
  readonly total?: number;
}

/** A plain table; the first cell of each row is its heading. */
export function Table({ caption, columns, rows, total = rows.length }: TableProps): VNode {
  const classes = columns.map(({ isNumber }) => (isNumber === true ? 'number' : undefined));
  return (
    <table class="plain" aria-rowcount={rowCount(rows.length, total)}>
      <caption class="sr-only">{caption}</caption>
      <thead>
        <tr>
          {columns.map(({ title, meaning }, i) => (
            <th key={title} scope="col" class={classes[i]} title={meaning}>
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

/** Row count for screen readers if not all rows are drawn; it includes the heading. */
const rowCount = (shown: number, total: number): number | undefined =>
  shown < total ? total + 1 : undefined;

/** A table that scrolls if it is too long. */
export function ScrollingTable(props: TableProps): VNode {
  const { caption, rows } = props;
  const { shown, end } = useGrowingList(rows.length);
  return (
    <div class="table-scroll short" tabIndex={0} role="region" aria-label={caption}>
      <Table {...props} rows={rows.slice(0, shown)} total={rows.length} />
      <div ref={end} />
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
  readonly meaning: string | undefined;
  readonly sort: ColumnSort<Key>;
  readonly onSort: (sort: ColumnSort<Key>) => void;
}

/** The heading of a column, a button that sorts by it; pressed again, it turns the order round. */
function SortHeader<Key extends string>(props: SortHeaderProps<Key>): VNode {
  const { column, title, isNumber, meaning, sort, onSort } = props;
  const order = sort.key !== column ? 'none' : sort.descending ? 'descending' : 'ascending';
  return (
    <th scope="col" class={isNumber ? 'number' : undefined} title={meaning} aria-sort={order}>
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
  /** Accessible name of the scrolling region. */
  readonly label: string;
  readonly columns: readonly (Column & { readonly key: Key })[];
  readonly sort: ColumnSort<Key>;
  readonly onSort: (sort: ColumnSort<Key>) => void;
  /** Items of the rows, sorted. */
  readonly items: readonly Item[];
  /** A row, which begins with its heading. */
  readonly row: (item: Item) => VNode;
  /** Data that rows depend on besides their items; rows of the same item are redrawn if it changes. */
  readonly context?: unknown;
  /** Text below a table without rows. */
  readonly empty?: string;
}

/** A table that is sorted by its headings and scrolls if it is too long. */
export function SortedTable<Key extends string, Item extends object>(
  props: SortedTableProps<Key, Item>,
): VNode {
  const { caption, label, columns, sort, onSort, items, row, context, empty } = props;
  const { shown, end } = useGrowingList(items.length);
  const drawn = useMemo(() => new WeakMap<Item, VNode>(), [context]);
  const drawRow = (item: Item): VNode => {
    const known = drawn.get(item) ?? row(item);
    drawn.set(item, known);
    return known;
  };
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={label}>
      <table class={props.class} aria-rowcount={rowCount(shown, items.length)}>
        <caption class="sr-only">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ key, title, isNumber = false, meaning }) => (
              <SortHeader key={key} column={key} {...{ title, isNumber, meaning, sort, onSort }} />
            ))}
          </tr>
        </thead>
        <tbody>{items.slice(0, shown).map(drawRow)}</tbody>
      </table>
      <div ref={end} />
      {items.length === 0 && <p class="muted">{empty}</p>}
    </div>
  );
}
