import type { VNode } from 'preact';
import type { ComparisonState } from '../../extension/protocol/explorer';
import { Button } from '../components/controls';
import { Folded, Section } from '../components/section';
import { ScrollingTable, Table } from '../components/table';
import type { Column, Row } from '../components/table';
import { formatBytes, formatCompact, formatCount, formatPercent } from '../format';
import { fileName } from '../file-name';
import { formatNumber } from '../charts/histogram';
import { strings } from './strings';
import { shapeText } from './tree-model';
import type { ExplorerPanel, ModelComparison } from './types';
import { tell } from '../translate';

interface ComparisonProps {
  readonly panel: ExplorerPanel;
  readonly state: ComparisonState;
}

/** Differences from another model. */
export function Comparison({ panel, state }: ComparisonProps): VNode {
  const isRunning = state.kind === 'comparing';
  return (
    <Section
      class="comparison"
      id="comparison-title"
      title={comparisonTitle(state)}
      controls={
        <>
          {state.kind === 'known' && state.comparison.weights === undefined && (
            <Button
              label={strings.compareWeights}
              title={strings.compareWeightsTitle}
              onClick={panel.run.compareWeights}
            />
          )}
          {state.kind === 'known' && (
            <Button label={strings.writeReport} onClick={panel.run.writeReport} />
          )}
          <Button
            label={isRunning ? strings.cancel : strings.close}
            onClick={panel.run.endComparison}
          />
        </>
      }
    >
      {state.kind === 'failed' && <p role="alert">{strings.comparisonFailed(state.message)}</p>}
      {state.kind === 'known' && <Differences comparison={state.comparison} />}
    </Section>
  );
}

function comparisonTitle(state: ComparisonState): string {
  if (state.kind === 'known') return strings.comparison(state.comparison.against.name);
  const name = fileName(state.against);
  return state.kind === 'comparing' && state.weights
    ? strings.comparingWeights(name, formatPercent(state.share))
    : strings.comparing(name);
}

interface DifferencesProps {
  readonly comparison: ModelComparison;
}

function Differences({ comparison }: DifferencesProps): VNode {
  const { model, against, tensors, sameForm, forms, config, metadata } = comparison;
  const name = { title: strings.column.name };
  const sides = [{ title: model.name }, { title: against.name }];
  const fields = (list: ModelComparison['config']) =>
    list.map((one): Row => [
      one.field,
      <span class="wrap">{one.model ?? strings.unknown}</span>,
      <span class="wrap">{one.against ?? strings.unknown}</span>,
    ]);
  const form = ({ dtype, shape }: (typeof forms)[number]['model']) =>
    `${dtype} ${shapeText(shape)}`;
  const keyed = [{ title: strings.keyColumn }, ...sides];
  return (
    <>
      <Totals comparison={comparison} />
      <p>{strings.sameForms(formatCount(sameForm))}</p>
      <Weights comparison={comparison} />
      <List title={strings.changedConfig} columns={keyed} rows={fields(config)} open />
      {[
        { side: model.name, names: tensors.model },
        { side: against.name, names: tensors.against },
      ].map(({ side, names }) => (
        <List
          key={side}
          title={(count) => strings.onlyIn(side, count)}
          columns={[name]}
          rows={names.map((tensor) => [tensor])}
        />
      ))}
      <List
        title={strings.otherForms}
        columns={[name, ...sides]}
        rows={forms.map((one) => [one.name, form(one.model), form(one.against)])}
      />
      <List title={strings.changedMetadata} columns={keyed} rows={fields(metadata)} open />
    </>
  );
}

interface ListProps {
  readonly title: (count: string) => string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  /** Undefined if the table is short. */
  readonly open?: boolean;
}

/** A table under a title with its row count; nothing if there are no rows. */
function List({ title, columns, rows, open = rows.length <= 20 }: ListProps): VNode | null {
  if (rows.length === 0) return null;
  const text = title(formatCount(rows.length));
  return (
    <Folded title={text} open={open}>
      <ScrollingTable caption={text} columns={columns} rows={rows} />
    </Folded>
  );
}

function Totals({ comparison: { model, against } }: DifferencesProps): VNode {
  const row = (name: string, value: (side: typeof model) => string) => [
    name,
    value(model),
    value(against),
  ];
  return (
    <Table
      caption={strings.comparison(against.name)}
      columns={[
        { title: strings.property },
        { title: model.name, isNumber: true },
        { title: against.name, isNumber: true },
      ]}
      rows={[
        row(strings.family, ({ family }) => family ?? strings.unknown),
        row(strings.format, ({ format }) => format),
        row(strings.blocks, ({ blocks }) => formatCount(blocks)),
        row(strings.tensorsColumn, (side) => formatCount(side.tensors)),
        row(strings.parameters, ({ parameters }) => formatCompact(parameters)),
        row(strings.size, ({ bytes }) => formatBytes(bytes)),
      ]}
    />
  );
}

/** The tensors that differ most come first. */
function Weights({ comparison: { weights } }: DifferencesProps): VNode | null {
  if (weights === undefined) return null;
  const { tensors, skipped } = weights;
  const different = tensors
    .filter(({ maxAbsolute }) => maxAbsolute !== 0)
    .sort((a, b) => (b.relativeFrobenius ?? Infinity) - (a.relativeFrobenius ?? Infinity));
  const number = (value: number | undefined) =>
    value === undefined ? strings.unknown : formatNumber(value);
  return (
    <>
      {different.length === 0 && <p>{strings.weightsEqual}</p>}
      <List
        open
        title={(count) => strings.changedWeights(count, formatCount(tensors.length))}
        columns={[
          { title: strings.column.name },
          { title: strings.maxAbsolute, isNumber: true },
          { title: strings.relativeFrobenius, isNumber: true },
          { title: strings.cosine, isNumber: true },
        ]}
        rows={different.map(({ name, maxAbsolute, relativeFrobenius, cosine }) => [
          name,
          number(maxAbsolute),
          number(relativeFrobenius),
          cosine?.toFixed(6) ?? strings.unknown,
        ])}
      />
      <List
        open={false}
        title={strings.notCompared}
        columns={[{ title: strings.column.name }, { title: strings.reason }]}
        rows={skipped.map(({ name, reason }) => [name, tell(reason)])}
      />
    </>
  );
}
