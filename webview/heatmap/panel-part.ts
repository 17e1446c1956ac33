import type { HeatmapState } from '../../extension/protocol/heatmap';
import type { CellSet } from './cells';
import type { Choice } from './draft';
import type { Send } from './types';
import type { View } from './view-state';

/** What every part of the panel draws from. */
export interface Frame {
  readonly state: HeatmapState;
  readonly cells: CellSet;
  readonly view: View;
}

/** What the parts may do. */
export interface PanelActions {
  readonly send: Send;
  /** Shows a choice at once and sends it. */
  readonly choose: (choice: Choice) => void;
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
