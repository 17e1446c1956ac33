import type {
  ComparisonState,
  DiagramState,
  ExplorerCalls,
  ExplorerState,
  StatisticsState,
  Importance,
} from '../../extension/protocol/explorer';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type ExplorerPanel = Panel<ExplorerState, ExplorerCalls, View>;
export type ModelDescription = NonNullable<ExplorerState['model']>;
export type BlockDescription = ModelDescription['blocks'][number];
export type SublayerDescription = BlockDescription['sublayers'][number];
export type StoredTensor = SublayerDescription['tensors'][number];
export type PartDescription = ModelDescription['parts'][number];
export type ComponentKind = ModelDescription['composition'][number]['kind'];
export type TensorStatistics = Extract<StatisticsState, { kind: 'known' }>['statistics'];
export type ModelComparison = Extract<ComparisonState, { kind: 'known' }>['comparison'];
export type Diagram = Extract<DiagramState, { kind: 'known' }>['diagram'];
export type DiagramNode = Diagram['nodes'][number];
export type Drift = NonNullable<ExplorerState['drift']>;
export type { DiagramState, Importance };
export type SideFile = ModelDescription['sideFiles'][number];
