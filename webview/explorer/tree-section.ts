import { createButton, createTextField } from '../components/toolkit';
import { h, setText } from '../dom';
import { formatBytes, formatCompact, formatCount } from '../format';
import { positive } from './facts';
import { strings } from './strings';
import { TreeGrid } from './tree-grid';
import type { TreeNode } from './tree-model';
import { allNodes, treeOf, visibleRows } from './tree-model';
import type { ModelDescription } from './types';
import type { View } from './view-state';

export interface TreeActions {
  readonly setView: (change: Partial<View>) => void;
  /** Asks for a tensor's statistics. */
  readonly measure: (tensor: string) => void;
  readonly select: (node: TreeNode | undefined) => void;
}

/** The tree with its search and its totals. */
export class TreeSection {
  public readonly element: HTMLElement;
  private readonly grid: TreeGrid;
  private readonly count = h('p', { class: 'muted', role: 'status' });
  private readonly total = h('p', { class: 'total' });
  private tree: readonly TreeNode[] = [];
  private nodes: ReadonlyMap<string, TreeNode> = new Map();
  private expanded: Set<string>;
  private query: string;
  private selected: string | undefined;

  public constructor(
    view: View,
    private readonly actions: TreeActions,
  ) {
    this.expanded = new Set(view.expanded);
    this.query = view.query;
    this.selected = view.selected;
    this.grid = new TreeGrid({
      select: (node) => {
        this.select(node.id);
      },
      toggle: (node, isOpen) => {
        if (isOpen) this.expanded.add(node.id);
        else this.expanded.delete(node.id);
        this.changed();
      },
      activate: (node) => {
        if (node.tensor !== undefined) actions.measure(node.tensor.name);
      },
    });
    const search = createTextField(strings.search, view.query, (text) => {
      this.query = text;
      this.changed();
    });
    search.classList.add('search');
    const expand = createButton(strings.expandAll, false, () => {
      this.expanded = new Set(this.nodes.keys());
      this.changed();
    });
    const collapse = createButton(strings.collapseAll, false, () => {
      this.expanded.clear();
      this.changed();
    });
    this.element = h(
      'div',
      { class: 'structure-table' },
      h(
        'div',
        { class: 'section-head' },
        this.count,
        h('div', { class: 'controls' }, search, expand.element, collapse.element),
      ),
      this.grid.element,
      this.total,
      h('p', { class: 'muted' }, strings.treeHint),
    );
  }

  public show(model: ModelDescription): void {
    this.tree = treeOf(model);
    this.nodes = new Map(allNodes(this.tree).map((node) => [node.id, node]));
    this.grid.reset();
    const { parameters, bytes } = model.totals;
    const flopsPerToken = positive(model.totals.flopsPerToken);
    const kvBytesPerToken = positive(model.totals.kvBytesPerToken);
    const parts = [
      `${formatCompact(parameters)} ${strings.parameters}`,
      formatBytes(bytes),
      ...(flopsPerToken === undefined
        ? []
        : [`${formatCompact(flopsPerToken)} ${strings.flopsPerToken}`]),
      ...(kvBytesPerToken === undefined
        ? []
        : [`${formatBytes(kvBytesPerToken)} ${strings.kvPerToken}`]),
    ];
    setText(this.total, `${strings.total}: ${parts.join(' · ')}`);
    this.draw();
    this.actions.select(this.selected === undefined ? undefined : this.nodes.get(this.selected));
  }

  public nodeOf(id: string): TreeNode | undefined {
    return this.nodes.get(id);
  }

  /** Selects a row from elsewhere, and opens what it lies in. */
  public choose(id: string): void {
    for (let above = this.nodes.get(id)?.parent; above !== undefined; above = above.parent) {
      this.expanded.add(above.id);
    }
    this.actions.setView({ expanded: [...this.expanded] });
    this.select(id);
  }

  public scrollTo(id: string): void {
    this.grid.scrollTo(id);
  }

  private select(id: string): void {
    this.selected = id;
    this.actions.setView({ selected: id });
    this.draw();
    this.actions.select(this.nodes.get(id));
  }

  private changed(): void {
    this.actions.setView({ expanded: [...this.expanded], query: this.query });
    this.draw();
  }

  private draw(): void {
    const rows = visibleRows(this.tree, this.expanded, this.query);
    this.grid.show(rows, this.selected);
    const total = this.tree.reduce((sum, node) => sum + node.tensors, 0);
    setText(this.count, this.query.trim() === '' ? '' : this.foundText(total));
  }

  private foundText(total: number): string {
    const everything = new Set(this.nodes.keys());
    const found = visibleRows(this.tree, everything, this.query).filter(
      ({ node }) => node.tensor !== undefined,
    );
    return strings.found(formatCount(found.length), formatCount(total));
  }
}
