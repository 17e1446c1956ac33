import { createButton } from '../components/toolkit';
import { h, setAttribute } from '../dom';
import { formatCount } from '../format';
import { DiagramSection } from './diagram-section';
import { strings } from './strings';
import { combinedNode } from './tree-model';
import type { TreeNode } from './tree-model';
import { TreeSection } from './tree-section';
import type { DiagramNode, DiagramState, ModelDescription, Send, Worth } from './types';
import type { View } from './view-state';

export interface StructureActions {
  readonly send: Send;
  readonly setView: (change: Partial<View>) => void;
  readonly select: (node: TreeNode | undefined) => void;
}

/** What the model consists of: as a table, or as the flow of its data. */
export class StructureSection {
  public readonly element: HTMLElement;
  private readonly table: TreeSection;
  private readonly diagram: DiagramSection;
  private readonly switches;
  private form: View['form'];

  public constructor(
    view: View,
    private readonly actions: StructureActions,
  ) {
    const { send, setView, select } = actions;
    this.form = view.form;
    this.table = new TreeSection(view, {
      setView,
      select,
      measure: (tensor) => {
        send({ type: 'statistics', tensor });
      },
    });
    this.diagram = new DiagramSection(view, {
      setView,
      draw: (open) => {
        send({ type: 'diagram', open });
      },
      select: (node) => {
        select(this.chosen(node));
      },
    });
    this.switches = (['table', 'diagram'] as const).map((form) => ({
      form,
      button: createButton(strings.form[form], false, () => {
        this.setForm(form);
      }),
    }));
    this.element = h(
      'section',
      { class: 'structure', 'aria-labelledby': 'tree-title' },
      h(
        'div',
        { class: 'section-head' },
        h('h2', { id: 'tree-title' }, strings.tree),
        h(
          'div',
          { class: 'forms', role: 'group', 'aria-label': strings.forms },
          ...this.switches.map(({ button }) => button.element),
        ),
      ),
      this.table.element,
      this.diagram.element,
    );
    this.drawForm();
  }

  public show(model: ModelDescription): void {
    this.table.show(model);
    if (this.form === 'diagram') this.askForDiagram();
  }

  public receive(state: DiagramState): void {
    this.diagram.receive(state);
  }

  public setWorth(worth: Worth | undefined): void {
    this.diagram.setWorth(worth);
  }

  /** Chooses a tensor as if its row were clicked. */
  public choose(tensor: string): void {
    this.table.choose(`tensor:${tensor}`);
  }

  /** Shows a row of the table. */
  public reveal(row: string): void {
    this.setForm('table');
    this.table.choose(row);
    this.table.scrollTo(row);
  }

  private setForm(form: View['form']): void {
    if (form === this.form) return;
    this.form = form;
    this.actions.setView({ form });
    this.drawForm();
    if (form === 'diagram') this.askForDiagram();
  }

  private drawForm(): void {
    for (const { form, button } of this.switches) {
      const isShown = form === this.form;
      button.setPrimary(isShown);
      setAttribute(button.element, 'aria-pressed', String(isShown));
    }
    this.table.element.hidden = this.form !== 'table';
    this.diagram.element.hidden = this.form !== 'diagram';
  }

  private askForDiagram(): void {
    this.diagram.ask();
    this.actions.send({ type: 'worth' });
  }

  /** The row of the table that a box stands for, or a row made of several. */
  private chosen(node: DiagramNode): TreeNode {
    const [first, ...others] = node.rows.flatMap((id) => this.table.nodeOf(id) ?? []);
    if (first !== undefined && others.length === 0) {
      this.table.choose(first.id);
      return first;
    }
    const { id, label, detail, name } = node;
    const nodes = first === undefined ? [] : [first, ...others];
    const together = nodes.length > 1 ? strings.together(formatCount(nodes.length)) : undefined;
    const notes = [detail, name, together].filter((text) => text !== undefined);
    return combinedNode(`flow:${id}`, label, notes.join(' · '), nodes);
  }
}
