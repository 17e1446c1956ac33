import { createButton } from '../components/toolkit';
import { h, setAttribute, setChildren, setText } from '../dom';
import { formatCount } from '../format';
import { drawDiagram, worthLegend } from './diagram-svg';
import { strings } from './strings';
import type { Diagram, DiagramNode, DiagramState, Worth } from './types';
import type { View } from './view-state';
import { worthScale } from './worth-scale';
import type { WorthScale } from './worth-scale';

export interface DiagramActions {
  readonly setView: (change: Partial<View>) => void;
  /** Asks for the diagram with these groups open. */
  readonly draw: (open: readonly string[]) => void;
  readonly select: (node: DiagramNode) => void;
}

const [smallest, largest] = [0.15, 3];
const zoomStep = 1.25;

/** The data flow of the model: opened and folded by clicks or keys, zoomed, and moved by dragging. */
export class DiagramSection {
  public readonly element: HTMLElement;
  private readonly scroller = h('div', { class: 'diagram-scroll' });
  private readonly status = h('p', { class: 'muted', role: 'status' });
  private readonly note = h('p', { class: 'muted' });
  private readonly legend = h('div');
  private open: Set<string>;
  private diagram: Diagram | undefined;
  private worth: WorthScale | undefined;
  private boxes: ReadonlyMap<string, SVGGElement> = new Map();
  private drawing: SVGSVGElement | undefined;
  private current: string | undefined;
  private zoom: number | undefined;

  public constructor(
    view: View,
    private readonly actions: DiagramActions,
  ) {
    this.open = new Set(view.open);
    const button = (label: string, title: string, onClick: () => void) => {
      const made = createButton(label, false, onClick);
      made.setState(undefined, title);
      return made.element;
    };
    const controls = h(
      'div',
      { class: 'controls', role: 'group', 'aria-label': strings.diagramControls },
      button('−', strings.zoomOut, () => {
        this.zoomBy(1 / zoomStep);
      }),
      button('+', strings.zoomIn, () => {
        this.zoomBy(zoomStep);
      }),
      button(strings.fit, strings.fitTitle, () => {
        this.fit();
      }),
      button(strings.foldAll, strings.foldAllTitle, () => {
        this.setOpen([]);
      }),
    );
    this.element = h(
      'div',
      { class: 'diagram' },
      h('div', { class: 'diagram-head' }, this.status, this.legend, controls),
      this.scroller,
      this.note,
      h('p', { class: 'muted' }, strings.diagramHint),
    );
    this.scroller.addEventListener('keydown', (event) => {
      this.onKey(event);
    });
    this.scroller.addEventListener('click', (event) => {
      this.onClick(event);
    });
    this.scroller.addEventListener('dblclick', ({ target }) => {
      this.toggle(this.nodeOf(target));
    });
    this.scroller.addEventListener('focusin', ({ target }) => {
      const node = this.nodeOf(target);
      if (node !== undefined && node.id !== this.current) this.choose(node);
    });
    this.scroller.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
      },
      { passive: false },
    );
    movedByDragging(this.scroller);
  }

  /** Asks for the diagram; what is shown stays until the next one is there. */
  public ask(): void {
    setText(this.status, strings.drawing);
    this.actions.draw([...this.open]);
  }

  public receive(state: DiagramState): void {
    if (state.kind === 'unknown') {
      this.diagram = undefined;
      setText(this.status, strings.noFlow(state.reason));
      setText(this.note, '');
      setChildren(this.scroller, []);
      this.scroller.hidden = true;
      return;
    }
    this.scroller.hidden = false;
    const before = this.cornerOf(this.current);
    this.diagram = state.diagram;
    setText(this.status, strings.flowSource(state.diagram.source));
    const { omitted } = state.diagram;
    setText(this.note, omitted === 0 ? '' : strings.omitted(formatCount(omitted)));
    this.draw();
    this.keepInPlace(before, this.cornerOf(this.current));
  }

  public setWorth(worth: Worth | undefined): void {
    this.worth = worthScale(worth);
    setChildren(this.legend, this.worth === undefined ? [] : [worthLegend(this.worth)]);
    this.draw();
  }

  private draw(): void {
    if (this.diagram === undefined) return;
    const hadFocus = this.scroller.contains(document.activeElement);
    const { element, boxes } = drawDiagram(this.diagram, this.worth);
    this.drawing = element;
    this.boxes = boxes;
    setChildren(this.scroller, [element]);
    this.scale();
    const [first] = boxes.keys();
    const known = this.current !== undefined && boxes.has(this.current) ? this.current : first;
    this.mark(known, this.current === known);
    if (hadFocus && known !== undefined) boxes.get(known)?.focus({ preventScroll: true });
  }

  private choose(node: DiagramNode): void {
    this.current = node.id;
    this.mark(node.id, true);
    this.actions.select(node);
  }

  private mark(id: string | undefined, selected: boolean): void {
    for (const [one, element] of this.boxes) {
      setAttribute(element, 'aria-selected', String(selected && one === id));
      setAttribute(element, 'tabindex', one === id ? 0 : -1);
    }
  }

  private toggle(node: DiagramNode | undefined): void {
    if (node?.expanded === undefined) return;
    const open = new Set(this.open);
    if (!open.delete(node.id)) open.add(node.id);
    this.current = node.id;
    this.setOpen([...open]);
  }

  private setOpen(open: readonly string[]): void {
    this.open = new Set(open);
    this.actions.setView({ open });
    this.ask();
  }

  private onClick({ target }: MouseEvent): void {
    const node = this.nodeOf(target);
    if (node === undefined) return;
    this.boxes.get(node.id)?.focus({ preventScroll: true });
    if (node.id !== this.current) this.choose(node);
    if (target instanceof Element && target.closest('.fold') !== null) this.toggle(node);
  }

  private onKey(event: KeyboardEvent): void {
    const nodes = this.diagram?.nodes ?? [];
    const at = nodes.findIndex(({ id }) => id === this.current);
    const node = nodes[at];
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const to = (index: number) => () => {
      this.focus(nodes[index]);
    };
    const inner = node?.frame === true ? nodes[at + 1] : undefined;
    const actions: Readonly<Record<string, () => void>> = {
      ArrowDown: to(Math.min(at + 1, nodes.length - 1)),
      ArrowUp: to(Math.max(at - 1, 0)),
      Home: to(0),
      End: to(nodes.length - 1),
      ArrowRight: () => {
        if (node?.expanded === false) this.toggle(node);
        else this.focus(inner);
      },
      ArrowLeft: () => {
        if (node?.expanded === true) this.toggle(node);
        else this.focus(nodes.find(({ id }) => id === node?.parent));
      },
      Enter: () => {
        this.toggle(node);
      },
      ' ': () => {
        this.toggle(node);
      },
      '+': () => {
        this.zoomBy(zoomStep);
      },
      '-': () => {
        this.zoomBy(1 / zoomStep);
      },
      '0': () => {
        this.fit();
      },
    };
    const action = actions[event.key];
    if (action !== undefined) {
      event.preventDefault();
      action();
    }
  }

  private focus(node: DiagramNode | undefined): void {
    const element = node === undefined ? undefined : this.boxes.get(node.id);
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  private nodeOf(target: EventTarget | null): DiagramNode | undefined {
    const element = target instanceof Element ? target.closest('[data-id], [data-frame]') : null;
    const id = element?.getAttribute('data-id') ?? element?.getAttribute('data-frame');
    return this.diagram?.nodes.find((node) => node.id === id);
  }

  /** Where a box begins in the scrolled picture. */
  private cornerOf(id: string | undefined): { x: number; y: number } | undefined {
    const node = this.diagram?.nodes.find((one) => one.id === id);
    const scale = this.scaleNow();
    const shift = Math.max(0, (this.scroller.clientWidth - (this.diagram?.width ?? 0) * scale) / 2);
    return node === undefined ? undefined : { x: shift + node.x * scale, y: node.y * scale };
  }

  /** What was opened stays under the pointer. */
  private keepInPlace(
    before: { x: number; y: number } | undefined,
    after: { x: number; y: number } | undefined,
  ): void {
    if (before !== undefined && after !== undefined) {
      this.scroller.scrollBy(after.x - before.x, after.y - before.y);
    }
  }

  private zoomBy(factor: number): void {
    const before = this.scaleNow();
    const zoom = Math.min(largest, Math.max(smallest, before * factor));
    const { scroller } = this;
    const [x, y] = [scroller.clientWidth / 2, scroller.clientHeight / 2];
    const [left, top] = [scroller.scrollLeft + x, scroller.scrollTop + y];
    this.zoom = zoom;
    this.scale();
    scroller.scrollTo({ left: (left * zoom) / before - x, top: (top * zoom) / before - y });
  }

  private fit(): void {
    this.zoom = undefined;
    this.scale();
  }

  /** As chosen, or else so that the diagram is as wide as the panel at most. */
  private scaleNow(): number {
    const width = this.diagram?.width ?? 1;
    const room = Math.max(200, this.scroller.clientWidth - 2);
    return this.zoom ?? Math.max(smallest, Math.min(1, room / width));
  }

  private scale(): void {
    if (this.drawing === undefined || this.diagram === undefined) return;
    const scale = this.scaleNow();
    setAttribute(this.drawing, 'width', Math.round(this.diagram.width * scale));
    setAttribute(this.drawing, 'height', Math.round(this.diagram.height * scale));
  }
}

/** The content follows the pointer while it is held down beside the boxes. */
function movedByDragging(scroller: HTMLElement): void {
  let from: { x: number; y: number; left: number; top: number } | undefined;
  scroller.addEventListener('pointerdown', ({ button, clientX, clientY, target }) => {
    const onBox = target instanceof Element && target.closest('[data-id]') !== null;
    if (button !== 0 || onBox) return;
    from = { x: clientX, y: clientY, left: scroller.scrollLeft, top: scroller.scrollTop };
  });
  scroller.addEventListener('pointermove', ({ clientX, clientY, buttons }) => {
    if (from === undefined || buttons === 0) {
      from = undefined;
      return;
    }
    scroller.scrollTo({ left: from.left + from.x - clientX, top: from.top + from.y - clientY });
  });
  scroller.addEventListener('pointerup', () => {
    from = undefined;
  });
}
