import { useMemo, useRef } from 'preact/hooks';
import type { CompressionState, ShownTable } from '../../extension/protocol/compression';
import { buildCells, schemeKey, tableSchemes } from './cells';
import type { CellSet, Shown } from './cells';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';
import type { Matrix, CompressionScheme } from './types';

/** Data that the parts of the panel draw from. */
export interface Frame {
  readonly table: ShownTable;
  readonly schemes: readonly CompressionScheme[];
  readonly shown: Shown | undefined;
  readonly cells: CellSet | undefined;
}

/** Data that plans are made from. */
export type PlannedFrame = Pick<Frame, 'table' | 'schemes'>;

/** Computed where the table, the plan or what is shown of them has changed. */
export function useFrame(panel: CompressionPanel): Frame | undefined {
  const [known, measured, plan] = [panel.get('table'), panel.get('measured'), panel.get('plan')];
  const { shown: wanted, share } = panel.view.value;
  const table = useMemo(() => known && withMeasured(known, measured), [known, measured]);
  const before = useRef<CellSet>(undefined);
  return useMemo(() => {
    if (table === undefined) return undefined;
    const schemes = tableSchemes(table);
    const shown = chooseShown(wanted, share, schemes, plan);
    before.current = shown && buildCells(table, shown, before.current);
    return { table, schemes, shown, cells: before.current };
  }, [table, plan, wanted, share]);
}

/** A table with what has been measured since it was read. */
export function withMeasured(
  table: ShownTable,
  measured: CompressionState['measured'],
): ShownTable {
  const known = <M extends Matrix>(matrix: M): M => {
    const entries = measured[matrix.tensor];
    return entries === undefined ? matrix : { ...matrix, entries };
  };
  const { layers, embeddingAndHead } = table;
  return {
    ...table,
    layers: layers.map(known),
    ...(embeddingAndHead === undefined ? {} : { embeddingAndHead: embeddingAndHead.map(known) }),
  };
}

/** Content that the user selected, if it exists. */
function chooseShown(
  wanted: string | undefined,
  share: number,
  schemes: readonly CompressionScheme[],
  plan: CompressionState['plan'],
): Shown | undefined {
  if (wanted === 'plan' && plan !== undefined) return { kind: 'plan', plan };
  const keys = schemes.map(schemeKey);
  const scheme = keys.find((key) => key === wanted) ?? keys[0];
  return scheme === undefined ? undefined : { kind: 'scheme', scheme, share };
}

/** Reason why no job can be started, if any. */
export function reasonAgainst(panel: CompressionPanel): string | undefined {
  const job = panel.get('job');
  const isActive = job.kind === 'running' || job.kind === 'queued';
  return panel.get('blocked') ?? (isActive ? strings.reasonRunning(job.name) : undefined);
}

/** True if the measurement was stopped and can be resumed. */
export function resumesMeasuring(job: CompressionState['job']): boolean {
  return job.kind === 'stopped' && job.makesDocument && job.saved !== undefined;
}
