import type { ExampleQuery } from '../core/datadiet/find-examples';
import type {
  ChoiceCounts,
  DataMap,
  ExamplePage,
  ScoredSource,
} from '../core/datadiet/scored-data';
import type { SelectionRequest } from '../core/datadiet/selection';
import type { PanelJob } from './jobs';

/** What the user asks for in the gallery; the marked ones are known to the host. */
export type GalleryQuery = Omit<ExampleQuery, 'among'> & { readonly marked: boolean };

/** Writing what was chosen, as the panel tells of it. */
export type ExportJob = PanelJob<'export'>;

/** What is to be kept. */
export interface ChosenSubset {
  readonly request: SelectionRequest;
  /** Marked examples are not kept. */
  readonly leaveOutMarked: boolean;
}

/** What the webview keeps with `setState`, so that a serializer can bring back the same panel. */
export type DataMapRestore = ScoredSource;

/** host → webview */
export type ToDataMap =
  | {
      readonly type: 'map';
      readonly source: ScoredSource;
      readonly map: DataMap;
      readonly marks: readonly number[];
    }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'marks'; readonly marks: readonly number[] }
  | { readonly type: 'page'; readonly query: GalleryQuery; readonly page: ExamplePage }
  | { readonly type: 'pageFailed'; readonly message: string }
  | { readonly type: 'counts'; readonly counts: ChoiceCounts }
  | { readonly type: 'countsFailed'; readonly message: string }
  | { readonly type: 'export'; readonly job: ExportJob }
  /** The sentence that says why nothing can be written, if so. */
  | { readonly type: 'blocked'; readonly reason?: string };

/** webview → host */
export type FromDataMap =
  | { readonly type: 'ready' }
  | { readonly type: 'reload' }
  | { readonly type: 'examples'; readonly query: GalleryQuery }
  | { readonly type: 'mark'; readonly indices: readonly number[]; readonly marked: boolean }
  | { readonly type: 'subset'; readonly subset: ChosenSubset }
  | { readonly type: 'export' }
  | { readonly type: 'cancelExport' }
  /** Training on parts of the data set. */
  | { readonly type: 'compare' }
  /** The user names the data set. */
  | { readonly type: 'chooseData' }
  | { readonly type: 'openText' };
