import type { PlaygroundCalls, PlaygroundState } from '../../extension/protocol/playground';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type PlaygroundPanel = Panel<PlaygroundState, PlaygroundCalls, View>;
export type Token = PlaygroundState['tokens'][string];
export type Pace = PlaygroundState['paces'][number];
export type Turn = PlaygroundState['turns'][number];
