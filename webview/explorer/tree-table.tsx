import type { TargetedKeyboardEvent, VNode } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { formatBytes, formatCompact, formatCount } from '../format';
import { useGrowingList } from '../kit/growing-list';
import { strings } from './strings';
import type { TreeNode, VisibleRow } from './tree-model';
import { glossary } from '../../extension/core/glossary';
import type { Column } from '../components/table';
import { tell } from '../translate';

interface TreeTableProps {
  readonly rows: readonly VisibleRow[];
  readonly selected: string | undefined;
  /** A row to bring into view, with as many rows as that takes. */
  readonly reveal: string | undefined;
  readonly onRevealed: () => void;
  readonly onSelect: (node: TreeNode) => void;
  readonly onToggle: (node: TreeNode, expanded: boolean) => void;
  /** Enter, Space or a double click on a tensor. */
  readonly onActivate: (node: TreeNode) => void;
}

const { column } = strings;
const columns: readonly Column[] = [
  ...[column.name, column.dtype, column.shape].map((title) => ({ title })),
  ...[column.parameters, column.bytes].map((title) => ({ title, isNumber: true })),
  { title: column.flops, isNumber: true, meaning: tell(glossary.flopsPerToken) },
  { title: column.kv, isNumber: true, meaning: tell(glossary.kvBytesPerToken) },
];

/** A table whose rows open and close (WAI-ARIA treegrid): one stop of the Tab key, arrows inside. */
export function TreeTable(props: TreeTableProps): VNode {
  const { rows, selected, reveal, onRevealed, onSelect, onToggle, onActivate } = props;
  const list = useGrowingList(rows.length);
  const body = useRef<HTMLTableSectionElement>(null);
  const shown = rows.slice(0, list.shown);
  const isShown = shown.some(({ node }) => node.id === selected);
  const findRow = (target: EventTarget | null) => {
    const id = target instanceof Element ? target.closest('tr')?.getAttribute('data-id') : null;
    return rows.find(({ node }) => node.id === id);
  };
  useLayoutEffect(() => {
    const index = reveal === undefined ? -1 : rows.findIndex(({ node }) => node.id === reveal);
    if (index < 0) return;
    if (index >= list.shown) {
      list.showAtLeast(index + 1);
      return;
    }
    body.current?.rows[index]?.scrollIntoView({ block: 'nearest' });
    onRevealed();
  }, [reveal, rows, list.shown]);
  const press = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const index = rows.findIndex(({ node }) => node.id === selected);
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const action = keyAction(event.key, rows, index, shown.length - 1);
    if (action === undefined) return;
    event.preventDefault();
    if (action.kind === 'focus') body.current?.rows[action.index]?.focus();
    else if (action.kind === 'toggle') onToggle(action.node, action.expanded);
    else onActivate(action.node);
  };
  return (
    <div class="table-scroll tree-scroll">
      <table role="treegrid" class="tree" aria-label={strings.treeLabel}>
        <thead>
          <tr role="row">
            {columns.map(({ title, isNumber = false, meaning }) => (
              <th
                key={title}
                scope="col"
                role="columnheader"
                class={isNumber ? 'number' : undefined}
                title={meaning}
              >
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody
          ref={body}
          onKeyDown={press}
          onFocusIn={({ target }) => {
            const row = findRow(target);
            if (row !== undefined && row.node.id !== selected) onSelect(row.node);
          }}
          onClick={({ target }) => {
            const row = findRow(target);
            if (row !== undefined && row.node.tensor === undefined) {
              onToggle(row.node, !row.expanded);
            }
          }}
          onDblClick={({ target }) => {
            const row = findRow(target);
            if (row?.node.tensor !== undefined) onActivate(row.node);
          }}
        >
          {shown.map((row, index) => (
            <TreeRow
              key={row.node.id}
              {...row}
              isSelected={row.node.id === selected}
              isReachable={isShown ? row.node.id === selected : index === 0}
            />
          ))}
        </tbody>
      </table>
      <div ref={list.end} />
      {rows.length === 0 && <p class="muted">{strings.nothingFound}</p>}
    </div>
  );
}

type KeyAction =
  | { readonly kind: 'focus'; readonly index: number }
  | { readonly kind: 'toggle'; readonly node: TreeNode; readonly expanded: boolean }
  | { readonly kind: 'activate'; readonly node: TreeNode };

/** Action of a key on a row; undefined if it has none. */
function keyAction(
  key: string,
  rows: readonly VisibleRow[],
  index: number,
  last: number,
): KeyAction | undefined {
  const row = rows[index];
  if (row === undefined) return undefined;
  const { node, expanded } = row;
  const hasChildren = node.tensor === undefined;
  const focus = (to: number): KeyAction => ({
    kind: 'focus',
    index: Math.max(0, Math.min(to, last)),
  });
  switch (key) {
    case 'ArrowDown':
      return focus(index + 1);
    case 'ArrowUp':
      return focus(index - 1);
    case 'PageDown':
      return focus(index + 20);
    case 'PageUp':
      return focus(index - 20);
    case 'Home':
      return focus(0);
    case 'End':
      return focus(last);
    case 'ArrowRight':
      if (!hasChildren) return undefined;
      return expanded ? focus(index + 1) : { kind: 'toggle', node, expanded: true };
    case 'ArrowLeft':
      if (hasChildren && expanded) return { kind: 'toggle', node, expanded: false };
      return node.parent && focus(rows.findIndex((one) => one.node === node.parent));
    case 'Enter':
    case ' ':
      return node.tensor === undefined
        ? { kind: 'toggle', node, expanded: !expanded }
        : { kind: 'activate', node };
    default:
      return undefined;
  }
}

interface TreeRowProps extends VisibleRow {
  readonly isSelected: boolean;
  readonly isReachable: boolean;
}

function TreeRow(props: TreeRowProps): VNode {
  const { node, expanded, position, siblings, isSelected, isReachable } = props;
  const isTensor = node.tensor !== undefined;
  const optional = (value: number | undefined, format: (value: number) => string): string =>
    value === undefined || value === 0
      ? isTensor || value === 0
        ? ''
        : strings.unknown
      : format(value);
  const numbers = [
    { text: formatCompact(node.parameters), title: formatCount(node.parameters) },
    { text: formatBytes(node.bytes), title: formatCount(node.bytes) },
    { text: optional(node.flopsPerToken, formatCompact) },
    { text: optional(node.kvBytesPerToken, formatBytes) },
  ];
  return (
    <tr
      role="row"
      data-id={node.id}
      data-kind={node.kind}
      aria-level={node.level}
      aria-posinset={position}
      aria-setsize={siblings}
      aria-selected={isSelected}
      aria-expanded={isTensor ? undefined : expanded}
      tabIndex={isReachable ? 0 : -1}
    >
      <th scope="row" role="rowheader" class={`level-${node.level}`} title={node.tensor?.name}>
        <span class="twisty" aria-hidden="true" />
        {node.label}
      </th>
      <td role="gridcell">{node.dtype}</td>
      <td role="gridcell">{node.shape}</td>
      {numbers.map(({ text, title }, i) => (
        <td key={i} role="gridcell" class="number" title={title}>
          {text}
        </td>
      ))}
    </tr>
  );
}
