import type { SymbolicCalls, SymbolicState } from '../../extension/protocol/symbolic';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type SymbolicPanel = Panel<SymbolicState, SymbolicCalls, View>;
