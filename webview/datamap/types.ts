import type { FromDataMap, ToDataMap } from '../../extension/protocol/datamap';

export type MapMessage = Extract<ToDataMap, { type: 'map' }>;
export type DataMap = MapMessage['map'];
export type Overview = DataMap['overview'];
export type Experiment = DataMap['experiments'][number];
export type ExamplePage = Extract<ToDataMap, { type: 'page' }>['page'];
export type Example = ExamplePage['items'][number];
export type Content = NonNullable<Example['content']>;
export type ChoiceCounts = Extract<ToDataMap, { type: 'counts' }>['counts'];
export type ClassCounts = Overview['classes'][number];
export type MapPoint = Overview['points'][number];

/** What the parts of the panel tell the host. */
export type Send = (message: FromDataMap) => void;
