import type { VNode } from 'preact';
import { Icon } from '../components/icons';
import { GridLegend, LegendKey } from '../components/legend';
import type { CellSet } from './cells';
import { strings } from './strings';
import type { ShownProfile } from './types';

interface HeatmapLegendProps {
  readonly profile: ShownProfile | undefined;
  readonly cells: CellSet;
}

/** What the colours and the marks of the grid mean. */
export function HeatmapLegend({ profile, cells }: HeatmapLegendProps): VNode {
  const { distances, previews } = cells;
  const scale = distances ?? previews;
  const statuses = new Set(cells.cells.map(({ status }) => status));
  return (
    <GridLegend
      title={titleOf(profile, cells)}
      scale={scale}
      low={strings.cheap}
      high={strings.important}
      definition={profile?.metricDefinition}
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
      {statuses.has('preview') && <LegendKey text={strings.legendPreviewCell} status="preview" />}
      {statuses.has('pending') && <LegendKey text={strings.legendPending} status="pending" />}
      {statuses.has('excluded') && <LegendKey text={strings.legendExcluded} status="excluded" />}
    </GridLegend>
  );
}

function titleOf(profile: ShownProfile | undefined, { distances, previews }: CellSet): string {
  if (distances !== undefined) return strings.legendDistance(profile?.settings.metric ?? '');
  return previews === undefined ? strings.legendNothing : strings.legendPreview;
}
