import type { TargetedKeyboardEvent, VNode } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Button, Dropdown } from '../components/controls';
import { CopyImage } from '../components/copy-image';
import { formatCount } from '../format';
import { paintSvg } from '../kit/paint-svg';
import { ColorLegend, DiagramDrawing } from './diagram-drawing';
import { keyAction } from './diagram-keys';
import { movedByDragging } from './drag-scroll';
import { strings } from './strings';
import type {
  DiagramNode,
  DiagramState,
  ExplorerPanel,
  ModelDescription,
  Importance,
} from './types';
import { driftColors, importanceScale, valueColors } from './color-scale';
import { colorings } from './view-state';

interface DiagramProps {
  readonly panel: ExplorerPanel;
  readonly model: ModelDescription;
  readonly onSelect: (node: DiagramNode) => void;
}

const [smallest, largest] = [0.15, 3];
const zoomStep = 1.25;

/** The data flow of the model: opened and folded by clicks or keys, zoomed, and moved by dragging. */
export function Diagram({ panel, model, onSelect }: DiagramProps): VNode {
  const { open } = panel.view.value;
  const state = useDrawn(panel, model, open);
  const importance = useImportance(panel, model);
  const drifted = panel.get('drift');
  const drift = useMemo(() => driftColors(drifted), [drifted]);
  const scroller = useRef<HTMLDivElement>(null);
  const [selected, setSelected] = useState<string>();
  const [zoom, setZoom] = useState<number>();
  const [room, setRoom] = useState(800);
  const diagram = state?.kind === 'known' ? state.diagram : undefined;
  const values = useMemo(() => valueColors(diagram?.values), [diagram]);
  const scales = { importance, drift, values };
  const known = colorings.filter((name) => scales[name] !== undefined);
  const colored = known.find((name) => name === panel.view.value.colors) ?? known[0];
  const colors = colored && scales[colored];
  const nodes = diagram?.nodes ?? [];
  const node = nodes.find(({ id }) => id === selected);
  /** The chosen zoom; by default, the diagram fits the width of the panel. */
  const scale = zoom ?? Math.max(smallest, Math.min(1, room / (diagram?.width ?? 1)));
  useLayoutEffect(() => {
    if (scroller.current === null) return;
    setRoom(Math.max(200, scroller.current.clientWidth - 2));
    movedByDragging(scroller.current);
  }, [diagram === undefined]);

  // The opened box stays under the pointer.
  const corner = useRef<{ readonly diagram: unknown; readonly x: number; readonly y: number }>(
    null,
  );
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null || node === undefined || diagram === undefined) return;
    const shift = Math.max(0, (element.clientWidth - diagram.width * scale) / 2);
    const now = { diagram, x: shift + node.x * scale, y: node.y * scale };
    const before = corner.current;
    if (before !== null && before.diagram !== diagram) {
      element.scrollBy(now.x - before.x, now.y - before.y);
    }
    corner.current = now;
  });

  const findElement = (id: string | undefined) =>
    [...(scroller.current?.querySelectorAll<SVGGElement>('[data-id]') ?? [])].find(
      (one) => one.getAttribute('data-id') === id,
    );
  const findNode = (target: EventTarget | null) => {
    const element = target instanceof Element ? target.closest('[data-id], [data-frame]') : null;
    const id = element?.getAttribute('data-id') ?? element?.getAttribute('data-frame');
    return nodes.find((one) => one.id === id);
  };
  const choose = (chosen: DiagramNode) => {
    setSelected(chosen.id);
    onSelect(chosen);
  };
  const toggle = (toggled: DiagramNode | undefined) => {
    if (toggled?.expanded === undefined) return;
    setSelected(toggled.id);
    const others = open.filter((id) => id !== toggled.id);
    panel.setView({ open: others.length < open.length ? others : [...open, toggled.id] });
  };
  const zoomBy = (factor: number) => {
    const element = scroller.current;
    if (element === null) return;
    const next = Math.min(largest, Math.max(smallest, scale * factor));
    const [x, y] = [element.clientWidth / 2, element.clientHeight / 2];
    const [left, top] = [element.scrollLeft + x, element.scrollTop + y];
    corner.current = null;
    setZoom(next);
    requestAnimationFrame(() => {
      element.scrollTo({ left: (left * next) / scale - x, top: (top * next) / scale - y });
    });
  };
  const press = (event: TargetedKeyboardEvent<HTMLElement>) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const action = keyAction(event.key, nodes, node);
    if (action === undefined) return;
    event.preventDefault();
    if (action.kind === 'focus') {
      const element = findElement(action.node?.id);
      element?.focus({ preventScroll: true });
      element?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    } else if (action.kind === 'toggle') toggle(node);
    else if (action.kind === 'fit') setZoom(undefined);
    else zoomBy(action.kind === 'zoomIn' ? zoomStep : 1 / zoomStep);
  };
  return (
    <div class="diagram">
      <div class="diagram-head">
        <p class="muted" role="status">
          {diagramStatus(state)}
        </p>
        <div>{colors !== undefined && <ColorLegend colors={colors} />}</div>
        <div class="controls" role="group" aria-label={strings.diagramControls}>
          {colored !== undefined && known.length > 1 && (
            <Dropdown
              label={strings.colors}
              options={known.map((value) => ({ value, label: strings.coloring[value] }))}
              value={colored}
              onChange={(value) => {
                panel.setView({ colors: value });
              }}
            />
          )}
          <Button
            label={strings.showDrift}
            title={strings.showDriftTitle}
            onClick={() => {
              panel.setView({ colors: 'drift' });
              panel.run.showDrift();
            }}
          />
          <Button
            label={diagram?.values === undefined ? strings.showValues : strings.hideValues}
            title={strings.showValuesTitle}
            onClick={() => {
              panel.setView({ colors: 'values' });
              if (diagram?.values === undefined) panel.run.chooseValues();
              else panel.run.hideValues();
            }}
          />
          <Button
            label="−"
            title={strings.zoomOut}
            onClick={() => {
              zoomBy(1 / zoomStep);
            }}
          />
          <Button
            label="+"
            title={strings.zoomIn}
            onClick={() => {
              zoomBy(zoomStep);
            }}
          />
          <Button
            label={strings.fit}
            title={strings.fitTitle}
            onClick={() => {
              setZoom(undefined);
            }}
          />
          <Button
            label={strings.foldAll}
            title={strings.foldAllTitle}
            onClick={() => {
              panel.setView({ open: [] });
            }}
          />
        </div>
      </div>
      {diagram !== undefined && (
        <div class="diagram-box">
          <div
            class="diagram-scroll"
            ref={scroller}
            onKeyDown={press}
            onClick={({ target }) => {
              const clicked = findNode(target);
              if (clicked === undefined) return;
              findElement(clicked.id)?.focus({ preventScroll: true });
              if (clicked.id !== selected) choose(clicked);
              if (target instanceof Element && target.closest('.fold') !== null) toggle(clicked);
            }}
            onDblClick={({ target }) => {
              toggle(findNode(target));
            }}
            onFocusIn={({ target }) => {
              const focused = findNode(target);
              if (focused !== undefined && focused.id !== selected) choose(focused);
            }}
            onWheel={(event) => {
              if (!event.ctrlKey && !event.metaKey) return;
              event.preventDefault();
              zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
            }}
          >
            <DiagramDrawing
              {...{ diagram, colors, scale }}
              current={node?.id ?? nodes[0]?.id}
              isSelected={node !== undefined}
            />
          </div>
          <CopyImage
            label={strings.diagramLabel}
            draw={() => {
              const drawing = scroller.current?.querySelector('svg');
              return drawing ? paintSvg(drawing) : null;
            }}
          />
        </div>
      )}
      <p class="muted">
        {diagram !== undefined &&
          diagram.omitted > 0 &&
          strings.omitted(formatCount(diagram.omitted))}
      </p>
      {diagram?.joined === true && <p class="muted">{strings.diagramDifferences}</p>}
      <p class="muted">{strings.diagramHint}</p>
    </div>
  );
}

function diagramStatus(state: DiagramState | undefined): string {
  if (state === undefined) return strings.drawing;
  return state.kind === 'unknown'
    ? strings.noFlow(state.reason)
    : strings.flowSource(state.diagram.source);
}

/** The diagram with these groups open; the last one stays until the next is there. */
function useDrawn(
  panel: ExplorerPanel,
  model: ModelDescription,
  open: readonly string[],
): DiagramState | undefined {
  const [values, comparison] = [panel.get('values'), panel.get('comparison')];
  const against = comparison?.kind === 'known' ? comparison.comparison.against.path : undefined;
  const [state, setState] = useState<DiagramState>();
  useEffect(
    () =>
      whileShown(panel.call.diagram(open), setState, (reason) => {
        setState({ kind: 'unknown', reason });
      }),
    [model, open, values, against],
  );
  return state;
}

function useImportance(panel: ExplorerPanel, model: ModelDescription) {
  const [importance, setImportance] = useState<Importance>();
  useEffect(() => whileShown(panel.call.importance(), setImportance, panel.announce), [model]);
  return useMemo(() => importanceScale(importance), [importance]);
}

/**
 * Takes an answer unless another question has been asked since.
 * @returns ends the waiting
 */
function whileShown<T>(
  answer: Promise<T>,
  take: (value: T) => void,
  fail: (reason: string) => void,
): () => void {
  let isShown = true;
  answer.then(
    (value) => {
      if (isShown) take(value);
    },
    (error: unknown) => {
      if (isShown) fail(error instanceof Error ? error.message : String(error));
    },
  );
  return () => {
    isShown = false;
  };
}
