import type { CompressionCalls, CompressionState } from '../../extension/protocol/compression';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type CompressionPanel = Panel<CompressionState, CompressionCalls, View>;
