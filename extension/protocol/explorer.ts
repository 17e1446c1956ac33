import { array, picklist, string, tuple } from 'valibot';
import type { Drift } from '../core/evaluate/drift';
import type { Diagram } from '../core/inspect/flow/diagram';
import type { ModelComparison } from '../core/inspect/model-comparison';
import type { ModelDescription } from '../core/inspect/model-description';
import type { TensorStatistics } from '../core/inspect/tensor-statistics';
import type { CallSchemas } from './panel';

/** Statistics of one tensor: being read, known, or failed. */
export type StatisticsState =
  | { readonly kind: 'reading'; readonly share: number }
  | { readonly kind: 'known'; readonly statistics: TensorStatistics }
  | { readonly kind: 'failed'; readonly message: string };

/** State of the comparison with another model. */
export type ComparisonState =
  | {
      readonly kind: 'comparing';
      /** Path of the other model. */
      readonly against: string;
      readonly weights: boolean;
      readonly share: number;
    }
  | { readonly kind: 'known'; readonly comparison: ModelComparison }
  | { readonly kind: 'failed'; readonly against: string; readonly message: string };

/** Data-flow diagram with the current open frames, or the reason why none can be drawn. */
export type DiagramState =
  | { readonly kind: 'known'; readonly diagram: Diagram }
  | { readonly kind: 'unknown'; readonly reason: string };

/** The importance of sublayers, from a profile of the model. */
export interface Importance {
  readonly metric: string;
  readonly sublayers: readonly {
    /** Id of a sublayer or a block. */
    readonly id: string;
    readonly distance: number;
    /** True if the distance is a lower bound. */
    readonly isBound: boolean;
  }[];
  /** True if the profile was made for other weights or another configuration. */
  readonly stale: boolean;
}

/** File formats for the description. */
const exportFormats = ['json', 'csv', 'markdown'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** State of the model explorer. */
export interface ExplorerState {
  /** Undefined until its headers have been read. */
  readonly model: ModelDescription | undefined;
  /** Reason why they cannot be read, if any. */
  readonly failure: string | undefined;
  /** Statistics by tensor, of the requested ones. */
  readonly statistics: Readonly<Record<string, StatisticsState>>;
  readonly comparison: ComparisonState | undefined;
  /** Drift of the model, or of its heatmap's selection, from the original; undefined if not measured. */
  readonly drift: Drift | undefined;
  /** Path of a JSON file whose values are shown on the diagram. */
  readonly values: string | undefined;
  /** Row of the table to select and show. */
  readonly reveal: string | undefined;
}

export interface ExplorerCalls {
  /** Describes the model again, since its files may have changed. */
  reload(): void;
  measure(tensor: string): void;
  /** Confirms that the requested row is visible. */
  revealed(): void;
  /** The data flow with these groups open. */
  diagram(open: readonly string[]): DiagramState;
  /** Importance from the profile next to the model, if there is one. */
  importance(): Importance | undefined;
  export(format: ExportFormat): void;
  makeSmaller(): void;
  openHeatmap(): void;
  showDrift(): void;
  /** Asks the user for a file of values. */
  chooseValues(): void;
  hideValues(): void;
  /** Opens a file next to the weights. */
  openFile(name: string): void;
  /** The user chooses the other model. */
  compare(): void;
  compareWeights(): void;
  /** Writes a report of the comparison. */
  writeReport(): void;
  endComparison(): void;
}

export const explorerCalls: CallSchemas<ExplorerCalls> = {
  reload: tuple([]),
  measure: tuple([string()]),
  revealed: tuple([]),
  diagram: tuple([array(string())]),
  importance: tuple([]),
  export: tuple([picklist(exportFormats)]),
  makeSmaller: tuple([]),
  openHeatmap: tuple([]),
  showDrift: tuple([]),
  chooseValues: tuple([]),
  hideValues: tuple([]),
  openFile: tuple([string()]),
  compare: tuple([]),
  compareWeights: tuple([]),
  writeReport: tuple([]),
  endComparison: tuple([]),
};
