import type { VNode } from 'preact';
import type { Drift } from '../../extension/protocol/heatmap';
import { startsText } from '../charts/drift-scale';
import { Icon } from '../components/icons';
import { GridLegend, LegendKey } from '../components/legend';
import { formatCount, formatPercent } from '../format';
import { t } from '../translate';
import type { CellSet } from './cells';
import { strings } from './strings';
import type { ShownProfile } from './types';

interface HeatmapLegendProps {
  readonly profile: ShownProfile | undefined;
  readonly cells: CellSet;
  readonly drift: Drift | undefined;
  /** Whether the model has lost sublayers already. */
  readonly hasLost: boolean;
}

/** What the colours and the marks of the grid mean. */
export function HeatmapLegend({ profile, cells, drift, hasLost }: HeatmapLegendProps): VNode {
  const { distances, previews, drifts } = cells;
  const scale = drifts ?? distances ?? previews;
  const statuses = new Set(cells.cells.map(({ status }) => status));
  return (
    <GridLegend
      title={titleOf(profile, cells)}
      scale={scale}
      low={drifts === undefined ? strings.cheap : strings.littleDrift}
      high={drifts === undefined ? strings.important : strings.muchDrift}
      format={drifts === undefined ? undefined : formatPercent}
      definition={
        drifts === undefined || drift === undefined
          ? profile && t(profile.metricDefinition)
          : `${strings.driftDefinition(formatCount(drift.positions))}. ${startsText(drift)}`
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
      {cells.cells.some(({ narrowed }) => narrowed !== undefined) && (
        <LegendKey text={strings.legendNarrowed} status="sample" kept="60%" />
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

function titleOf(
  profile: ShownProfile | undefined,
  { distances, previews, drifts }: CellSet,
): string {
  if (drifts !== undefined) return strings.legendDrift;
  if (distances !== undefined) return strings.legendDistance(profile?.settings.metric ?? '');
  return previews === undefined ? strings.legendNothing : strings.legendPreview;
}
