import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type { BarContent } from '../charts/bar-chart';
import type { SeriesColor } from '../charts/theme-colors';
import { BarPlot } from '../components/charts';
import { Section } from '../components/section';
import { Table } from '../components/table';
import { formatBytes, formatCompact, formatCount, formatPercent } from '../format';
import { strings } from './strings';
import type { ComponentKind, ModelDescription } from './types';
import { listed } from '../translate';

const colors: Readonly<Record<ComponentKind, SeriesColor>> = {
  attention: 'blue',
  'cross-attention': 'blue',
  parallel: 'blue',
  mixer: 'green',
  feedforward: 'yellow',
  expert: 'yellow',
  convolution: 'green',
  patch: 'green',
  embedding: 'purple',
  head: 'purple',
  'final-norm': 'red',
  other: 'red',
};

/** Height of a bar with its space, in pixels. */
const barHeight = 24;
const axisHeight = 30;

const columns = [
  { title: strings.kindColumn },
  ...[strings.tensorsColumn, strings.parameters, strings.shareColumn, strings.size].map(
    (title) => ({ title, isNumber: true }),
  ),
];

/** Parameters by purpose: a chart and the same numbers as a table. */
export function Composition({ model }: { readonly model: ModelDescription }): VNode {
  const { composition, totals } = model;
  const share = (parameters: number) =>
    formatPercent(totals.parameters === 0 ? 0 : parameters / totals.parameters);
  const content = useMemo<BarContent>(
    () => ({
      bars: composition.map(({ kind, parameters }) => ({
        label: strings.kind(kind),
        value: parameters,
        color: colors[kind],
      })),
      horizontal: true,
      logarithmic: false,
      format: formatCompact,
    }),
    [composition],
  );
  const parts = composition.map(({ kind, parameters }) =>
    strings.compositionPart(strings.kind(kind), share(parameters)),
  );
  return (
    <Section id="composition-title" title={strings.composition}>
      <BarPlot
        content={content}
        label={strings.compositionSummary(listed(parts))}
        height={composition.length * barHeight + axisHeight}
      />
      <Table
        caption={strings.composition}
        columns={columns}
        rows={composition.map(({ kind, tensors, parameters, bytes }) => [
          strings.kind(kind),
          formatCount(tensors),
          formatCompact(parameters),
          share(parameters),
          formatBytes(bytes),
        ])}
      />
    </Section>
  );
}
