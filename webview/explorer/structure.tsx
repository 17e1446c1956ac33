import type { VNode } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { Button, TextField } from '../components/controls';
import { formatBytes, formatCompact, formatCount } from '../format';
import { Diagram } from './diagram';
import { positive } from './facts';
import { strings } from './strings';
import { combinedNode, visibleRows } from './tree-model';
import type { TreeNode } from './tree-model';
import { TreeTable } from './tree-table';
import type { DiagramNode, ExplorerPanel, ModelDescription } from './types';
import { named } from '../translate';

interface StructureProps {
  readonly panel: ExplorerPanel;
  readonly model: ModelDescription;
  readonly tree: readonly TreeNode[];
  /** All of them by their ids. */
  readonly nodes: () => ReadonlyMap<string, TreeNode>;
  /** Selects a row and opens its ancestors. */
  readonly choose: (id: string) => void;
  readonly onSelect: (node: TreeNode) => void;
  /** Called with the combined row if the selection has several rows or none. */
  readonly onCombined: (node: TreeNode) => void;
}

/** Structure of the model, as a table or as a data flow diagram. */
export function Structure(props: StructureProps): VNode {
  const { panel, model, nodes, choose, onCombined } = props;
  const { form } = panel.view.value;
  const reveal = panel.get('reveal');
  useEffect(() => {
    if (reveal === undefined) return;
    if (nodes().has(reveal)) {
      choose(reveal);
      panel.setView({ form: 'table' });
    } else panel.run.revealed();
  }, [reveal]);
  return (
    <section class="structure" aria-labelledby="tree-title">
      <div class="section-head">
        <h2 id="tree-title">{strings.tree}</h2>
        <div class="forms" role="group" aria-label={strings.forms}>
          {(['table', 'diagram'] as const).map((one) => (
            <Button
              key={one}
              label={strings.form[one]}
              primary={one === form}
              pressed={one === form}
              onClick={() => {
                panel.setView({ form: one });
              }}
            />
          ))}
        </div>
      </div>
      {form === 'table' ? (
        <Tree {...props} />
      ) : (
        <Diagram
          panel={panel}
          model={model}
          onSelect={(node) => {
            const [first, ...others] = node.rows.flatMap((id) => nodes().get(id) ?? []);
            if (first !== undefined && others.length === 0) choose(first.id);
            else onCombined(combined(node, first === undefined ? [] : [first, ...others]));
          }}
        />
      )}
    </section>
  );
}

/** A row that combines the rows of a box. */
function combined({ id, label, detail, name }: DiagramNode, rows: readonly TreeNode[]): TreeNode {
  const together = rows.length > 1 ? strings.together(formatCount(rows.length)) : undefined;
  const notes = [detail, name, together].filter((text) => text !== undefined);
  return combinedNode(`flow:${id}`, label, notes.join(' · '), rows);
}

/** The tree with its search and its totals. */
function Tree({ panel, model, tree, nodes, onSelect }: StructureProps): VNode {
  const { expanded, query, selected } = panel.view.value;
  const rows = useMemo(() => visibleRows(tree, new Set(expanded), query), [tree, expanded, query]);
  return (
    <div class="structure-table">
      <div class="section-head">
        <p class="muted" role="status">
          {query.trim() !== '' && foundText(tree, nodes, query)}
        </p>
        <div class="controls">
          <TextField
            class="search"
            label={strings.search}
            value={query}
            onInput={(text) => {
              panel.setView({ query: text });
            }}
          />
          <Button
            label={strings.expandAll}
            onClick={() => {
              const opened = [...nodes().values()].filter(({ tensor }) => tensor === undefined);
              panel.setView({ expanded: opened.map(({ id }) => id) });
            }}
          />
          <Button
            label={strings.collapseAll}
            onClick={() => {
              panel.setView({ expanded: [] });
            }}
          />
        </div>
      </div>
      <TreeTable
        rows={rows}
        selected={selected}
        reveal={panel.get('reveal')}
        onRevealed={panel.run.revealed}
        onSelect={onSelect}
        onToggle={(node, isOpen) => {
          const others = expanded.filter((id) => id !== node.id);
          panel.setView({ expanded: isOpen ? [...others, node.id] : others });
        }}
        onActivate={({ tensor }) => {
          if (tensor !== undefined) panel.run.measure(tensor.name);
        }}
      />
      <p class="total">{totalText(model)}</p>
      <p class="muted">{strings.treeHint}</p>
    </div>
  );
}

function foundText(
  tree: readonly TreeNode[],
  nodes: StructureProps['nodes'],
  query: string,
): string {
  const total = tree.reduce((sum, node) => sum + node.tensors, 0);
  const all = visibleRows(tree, new Set(nodes().keys()), query);
  const found = all.filter(({ node }) => node.tensor !== undefined);
  return strings.found(formatCount(found.length), formatCount(total));
}

function totalText({ totals }: ModelDescription): string {
  const [flops, kv] = [positive(totals.flopsPerToken), positive(totals.kvBytesPerToken)];
  const parts = [
    `${formatCompact(totals.parameters)} ${strings.parameters.toLowerCase()}`,
    formatBytes(totals.bytes),
    ...(flops === undefined ? [] : [`${formatCompact(flops)} ${strings.flopsPerToken}`]),
    ...(kv === undefined ? [] : [`${formatBytes(kv)} ${strings.kvPerToken}`]),
  ];
  return named(strings.total, parts.join(' · '));
}
