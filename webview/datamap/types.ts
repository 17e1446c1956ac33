import type { DataMapCalls, DataMapState } from '../../extension/protocol/datamap';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type DataMapPanel = Panel<DataMapState, DataMapCalls, View>;

export type DataMap = NonNullable<DataMapState['map']>;
export type Overview = DataMap['overview'];
export type Experiment = DataMap['experiments'][number];
export type ExamplePage = ReturnType<DataMapCalls['examples']>;
export type Details = ReturnType<DataMapCalls['details']>;
export type PlacedPoint = NonNullable<Overview['embedding']>['points'][number];
export type Example = ExamplePage['items'][number];
export type Content = NonNullable<Example['content']>;
/** An example to show, on any page. */
export interface Sought {
  readonly index: number;
  /** Filters were cleared to show it. */
  readonly isCleared: boolean;
  /** Its page is shown, and it has had the focus. */
  readonly hasArrived: boolean;
}

export type ChoiceCounts = ReturnType<DataMapCalls['choose']>;
export type MapPoint = Overview['points'][number];
