import type { Diagram } from '../core/inspect/flow/diagram';
import type { ModelComparison } from '../core/inspect/model-comparison';
import type { ModelDescription } from '../core/inspect/model-description';
import type { TensorStatistics } from '../core/inspect/tensor-statistics';

/** Statistics of one tensor: asked for, known, or not to be had. */
export type StatisticsState =
  | { readonly kind: 'reading'; readonly share: number }
  | { readonly kind: 'known'; readonly statistics: TensorStatistics }
  | { readonly kind: 'failed'; readonly message: string };

/** The comparison with another model. */
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

/** The data flow as it is open at the moment, or why there is none to be drawn. */
export type DiagramState =
  | { readonly kind: 'known'; readonly diagram: Diagram }
  | { readonly kind: 'unknown'; readonly reason: string };

/** What a profile of the model says its sublayers are worth. */
export interface Worth {
  readonly metric: string;
  readonly sublayers: readonly {
    /** Id of a sublayer or a block. */
    readonly id: string;
    readonly distance: number;
    /** Whether the distance is as large or larger. */
    readonly isBound: boolean;
  }[];
  /** Whether it was made for other weights or another configuration. */
  readonly stale: boolean;
}

/** What the webview keeps with `setState`, so that a serializer can bring back the same panel. */
export interface ExplorerRestore {
  /** Absolute path that was opened. */
  readonly path: string;
}

/** What can be written to a file. */
export type ExportFormat = 'json' | 'csv' | 'markdown';

/** host → webview */
export type ToExplorer =
  | { readonly type: 'model'; readonly path: string; readonly model: ModelDescription }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'statistics'; readonly tensor: string; readonly state: StatisticsState }
  /** Choose a row of the table and show it. */
  | { readonly type: 'reveal'; readonly row: string }
  | { readonly type: 'diagram'; readonly state: DiagramState }
  /** Without worth: the model has no profile. */
  | { readonly type: 'worth'; readonly worth?: Worth }
  /** Without a state: there is none any more. */
  | { readonly type: 'comparison'; readonly state?: ComparisonState };

/** webview → host */
export type FromExplorer =
  | { readonly type: 'ready' }
  /** Describe the model anew: its files may have changed. */
  | { readonly type: 'reload' }
  | { readonly type: 'statistics'; readonly tensor: string }
  /** The row that was asked for is shown. */
  | { readonly type: 'revealed' }
  /** Draw the data flow with these groups open. */
  | { readonly type: 'diagram'; readonly open: readonly string[] }
  | { readonly type: 'worth' }
  | { readonly type: 'export'; readonly format: ExportFormat }
  | { readonly type: 'openHeatmap' }
  /** Opens a file beside the weights. */
  | { readonly type: 'openFile'; readonly name: string }
  /** The user chooses the other model. */
  | { readonly type: 'compare' }
  | { readonly type: 'compareWeights' }
  | { readonly type: 'endComparison' };
