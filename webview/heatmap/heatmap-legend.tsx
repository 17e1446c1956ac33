import type { VNode } from 'preact';
import type { HeatmapState } from '../../extension/protocol/heatmap';
import { Icon } from '../components/icons';
import { GridLegend, LegendKey } from '../components/legend';
import { t } from '../translate';
import type { CellSet } from './cells';
import type { ColumnSource } from './columns';
import { strings } from './strings';
import type { ShownProfile } from './types';

interface HeatmapLegendProps {
  readonly cells: CellSet;
  readonly source: ColumnSource;
  readonly profile: HeatmapState['profile'];
  /** True if sublayers of the model were removed earlier. */
  readonly hasLost: boolean;
}

/** Legend of the grid: colors and marks. */
export function HeatmapLegend({ cells, source, profile, hasLost }: HeatmapLegendProps): VNode {
  const { distances, previews, column } = cells;
  const [low, high] = column?.ends ?? [strings.lowValue, strings.highValue];
  const statuses = new Set(cells.cells.map(({ status }) => status));
  return (
    <GridLegend
      title={legendTitle(profile, cells)}
      scale={column?.colors ?? distances ?? previews}
      low={column === undefined ? strings.cheap : low}
      high={column === undefined ? strings.important : high}
      format={column?.format}
      definition={
        column === undefined ? profile && t(profile.metricDefinition) : column.definition?.(source)
      }
    >
      <LegendKey text={strings.legendRemoved} status="sample" mark="removed">
        1
      </LegendKey>
      {cells.cells.some(({ patch }) => patch !== undefined) && (
        <LegendKey text={strings.legendPatched} status="sample" fill={<Icon name="graph" />} />
      )}
      <LegendKey text={strings.legendProtected} status="sample" mark="protected">
        <Icon name="lock" />
      </LegendKey>
      {cells.cells.some(({ widthPruned }) => widthPruned !== undefined) && (
        <LegendKey text={strings.legendWidthPruned} status="sample" keptWidth="60%" />
      )}
      {cells.cells.some(({ stability }) => stability?.dependsOnText === true) && (
        <LegendKey text={strings.legendDepends} status="sample" dependsOnText />
      )}
      {hasLost && <LegendKey text={strings.removedEarlier} status="lost" />}
      {statuses.has('preview') && <LegendKey text={strings.legendPreviewCell} status="preview" />}
      {statuses.has('pending') && <LegendKey text={strings.legendPending} status="pending" />}
      {statuses.has('excluded') && <LegendKey text={strings.legendExcluded} status="excluded" />}
    </GridLegend>
  );
}

function legendTitle(
  profile: ShownProfile | undefined,
  { distances, previews, column }: CellSet,
): string {
  if (column !== undefined) return column.legend ?? column.title;
  if (distances !== undefined) return strings.legendDistance(profile?.settings.metric ?? '');
  return previews === undefined ? strings.legendNothing : strings.legendPreview;
}
