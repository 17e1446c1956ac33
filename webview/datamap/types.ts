import type { DataMapCalls, DataMapState } from '../../extension/protocol/datamap';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type DataMapPanel = Panel<DataMapState, DataMapCalls, View>;

export type DataMap = NonNullable<DataMapState['map']>;
export type Overview = DataMap['overview'];
export type Experiment = DataMap['experiments'][number];
export type ExamplePage = ReturnType<DataMapCalls['examples']>;
export type Example = ExamplePage['items'][number];
export type Content = NonNullable<Example['content']>;
export type ChoiceCounts = ReturnType<DataMapCalls['choose']>;
export type MapPoint = Overview['points'][number];
