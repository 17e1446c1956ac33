import type { SmallerCalls, SmallerState } from '../../extension/protocol/smaller';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type SmallerPanel = Panel<SmallerState, SmallerCalls, View>;
export type SmallerModel = SmallerState['smaller'];
