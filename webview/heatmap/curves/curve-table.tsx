import type { VNode } from 'preact';
import { Folded } from '../../components/section';
import { ScrollingTable } from '../../components/table';
import { formatCount, formatDistance } from '../../format';
import type { Axis } from './curves';
import { curveRows, buildCurves } from './curves';
import { strings } from '../strings';
import type { ModelSummary, ShownProfile } from '../types';

interface CurveTableProps {
  readonly profile: ShownProfile;
  readonly model: ModelSummary;
  readonly axis: Axis;
  readonly formatX: (value: number) => string;
}

/** The chart's numbers as a table, folded until asked for. */
export function CurveTable(props: CurveTableProps): VNode {
  return <Folded title={strings.curveTable} draw={() => <Numbers {...props} />} />;
}

function Numbers({ profile, model, axis, formatX }: CurveTableProps): VNode {
  const { baselines, perplexity } = buildCurves(profile, model, axis);
  const withPerplexity = perplexity.length > 0;
  const numberColumn = (title: string) => ({ title, isNumber: true });
  const text = (value: number | undefined) =>
    value === undefined ? strings.notYet : formatDistance(value);
  return (
    <ScrollingTable
      caption={strings.curveTable}
      columns={[
        numberColumn(strings.roundColumn),
        { title: strings.removedColumn },
        numberColumn(strings.axisName[axis]),
        numberColumn(strings.greedy),
        ...baselines.map(({ name }) => numberColumn(strings.baseline(name))),
        ...(withPerplexity ? [numberColumn(strings.perplexity)] : []),
      ]}
      rows={curveRows(profile, model, axis).map((row) => [
        formatCount(row.rounds),
        row.removed ?? strings.originalModel,
        formatX(row.x),
        text(row.distance),
        ...row.baselines.map(text),
        ...(withPerplexity ? [text(row.perplexity)] : []),
      ])}
    />
  );
}
