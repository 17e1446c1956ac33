import type { ReadonlySignal } from '@preact/signals';
import type { VNode } from 'preact';
import type { ShownPatch } from '../../extension/protocol/heatmap';
import { Facts } from '../components/facts';
import { formatCompact } from '../format';
import { GraphDrawing } from '../graph/graph-drawing';
import { cellFacts } from './cell-text';
import type { CellSet } from './cells';
import { useSteadyHeight } from '../kit/steady-height';
import { strings } from './strings';

interface CellDetailsProps {
  /** Id of the cell under the pointer or with the focus. */
  readonly pointed: ReadonlySignal<string | undefined>;
  readonly cells: CellSet;
  /** Metric of the distances; empty without a profile. */
  readonly metric: string;
}

/** The numbers of one cell, below the grid: what a tooltip would say, at a place that stays. */
export function CellDetails({ pointed, cells, metric }: CellDetailsProps): VNode {
  const cell = cells.byId.get(pointed.value ?? '');
  // Few sublayers have a patch, which takes much more room.
  const box = useSteadyHeight(cell?.patch === undefined);
  return (
    <div ref={box} class="details">
      <p class="muted" id="grid-hint" hidden={cell !== undefined}>
        {strings.gridHint}
      </p>
      {cell !== undefined && (
        <div>
          <p class="details-title">
            <strong>{cell.id}</strong>
            <span class="mark-text" data-mark={cell.mark}>
              {strings.markName(cell.mark, cell.order)}
            </span>
            <span class="muted">{strings.nextMark[cell.mark]}</span>
          </p>
          <div class="details-body">
            <Facts facts={cellFacts(cell, metric)} />
            {cell.patch !== undefined && <Patch patch={cell.patch} />}
          </div>
        </div>
      )}
    </div>
  );
}

/** Patch that replaces, or will replace, a sublayer. */
function Patch({ patch }: { readonly patch: ShownPatch }): VNode {
  const { program, graph, place, parameters } = patch;
  return (
    <div class="patch">
      {graph !== undefined && (
        <div class="graph-box">
          <GraphDrawing
            graph={graph}
            label={strings.graphSize(graph.size, graph.edges.length / 2)}
          />
        </div>
      )}
      <div class="patch-text">
        <h3>{strings.patch}</h3>
        <code class="program">{program}</code>
        <p class="muted">
          {place === 'model'
            ? strings.patchInModel
            : strings.patchPlanned(
                parameters === undefined ? undefined : formatCompact(parameters),
              )}
        </p>
      </div>
    </div>
  );
}
