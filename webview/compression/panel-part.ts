import type { CompressionState } from '../../extension/protocol/compression';
import type { CellSet, Shown } from './cells';
import type { Send, Way } from './types';
import type { View } from './view-state';

/** What every part of the panel draws from. */
export interface Frame {
  readonly state: CompressionState;
  readonly view: View;
  /** Empty where there is no table. */
  readonly ways: readonly Way[];
  readonly shown: Shown | undefined;
  readonly cells: CellSet | undefined;
}

/** What the parts may do. */
export interface PanelActions {
  readonly send: Send;
  /** Changes how the panel is looked at, and draws again. */
  readonly setView: (change: Partial<View>) => void;
  /** Says something to screen readers. */
  readonly announce: (text: string) => void;
}

/** A part of the panel: built once, updated with every frame. */
export interface PanelPart {
  readonly element: HTMLElement;
  update(frame: Frame): void;
}

/** Why no job can be started, if so. */
export function reasonAgainst(
  { blocked, job }: CompressionState,
  running: (what: 'sensitivity' | 'plan-compression' | 'compress') => string,
): string | undefined {
  return (
    blocked ?? (job.kind === 'running' || job.kind === 'queued' ? running(job.what) : undefined)
  );
}

/** Whether the measurement was stopped and can be gone on with. */
export function resumesMeasuring(job: CompressionState['job']): boolean {
  return job.kind === 'stopped' && job.what === 'sensitivity' && job.saved !== undefined;
}
