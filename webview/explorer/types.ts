import type {
  ComparisonState,
  DiagramState,
  FromExplorer,
  StatisticsState,
  ToExplorer,
  Worth,
} from '../../extension/protocol/explorer';

export type ModelDescription = Extract<ToExplorer, { type: 'model' }>['model'];
export type BlockDescription = ModelDescription['blocks'][number];
export type SublayerDescription = BlockDescription['sublayers'][number];
export type StoredTensor = SublayerDescription['tensors'][number];
export type PartDescription = ModelDescription['parts'][number];
export type ComponentKind = ModelDescription['composition'][number]['kind'];
export type TensorStatistics = Extract<StatisticsState, { kind: 'known' }>['statistics'];
export type ModelComparison = Extract<ComparisonState, { kind: 'known' }>['comparison'];
export type Diagram = Extract<DiagramState, { kind: 'known' }>['diagram'];
export type DiagramNode = Diagram['nodes'][number];
export type { DiagramState, Worth };
export type SideFile = ModelDescription['sideFiles'][number];

/** What the parts of the panel tell the host. */
export type Send = (message: FromExplorer) => void;
