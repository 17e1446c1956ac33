import type { VNode } from 'preact';
import { Button } from '../components/controls';
import { Folded, Section } from '../components/section';
import { Table } from '../components/table';
import { formatPercent } from '../format';
import { GraphDrawing } from '../graph/graph-drawing';
import { layOutGraph } from '../graph/graph-layout';
import { modelAt, findRuns } from './population';
import { strings } from './strings';
import type { SymbolicPanel } from './symbolic-panel';
import type { Evolution, Model, Place, WrittenProgram } from './types';
import { named } from '../translate';

interface DetailsProps {
  readonly panel: SymbolicPanel;
  readonly evolution: Evolution;
  readonly place: Place | undefined;
}

/** All that is known of one graph. */
export function Details({ panel, evolution, place }: DetailsProps): VNode {
  const model = place && modelAt(evolution, place);
  return (
    <div class="chosen">
      <Section id="details-title" title={strings.details}>
        {place !== undefined && model !== undefined && (
          <div>
            <h3>{model.name}</h3>
            <div class="graph-box">
              <GraphDrawing graph={model.graph} label={graphLabel(model)} />
            </div>
            <p class="muted">{strings.legend}</p>
            <Program panel={panel} program={model.program} />
            <h4>{strings.runs}</h4>
            <Runs evolution={evolution} shown={place} graphClass={model.graphClass} />
            <Folded title={strings.edges}>
              <Edges model={model} />
            </Folded>
          </div>
        )}
      </Section>
    </div>
  );
}

function graphLabel({ name, graph }: Model): string {
  return strings.graphLabel(name, graph.size, graph.edges.length / 2);
}

interface ProgramProps {
  readonly panel: SymbolicPanel;
  readonly program: WrittenProgram;
}

function Program({ panel, program }: ProgramProps): VNode {
  const { text, uses, reduced } = program;
  const inlined = uses.length === 0 ? undefined : reduced;
  const copy = (copied: string) => {
    panel.run.copy(copied);
    panel.announce(strings.copied);
  };
  return (
    <>
      <h4>{strings.program}</h4>
      <code class="program" tabIndex={0}>
        {text}
      </code>
      {inlined === undefined ? (
        <>
          <h4>{strings.inlined}</h4>
          <p class="muted">{uses.length === 0 ? strings.inlinedSame : strings.inlinedTooLong}</p>
        </>
      ) : (
        <>
          <h4>{named(strings.inlined, strings.symbols(inlined.symbols))}</h4>
          <code class="program" tabIndex={0}>
            {inlined.text}
          </code>
        </>
      )}
      <div class="actions">
        <Button
          label={strings.copyProgram}
          onClick={() => {
            copy(text);
          }}
        />
        {inlined !== undefined && (
          <Button
            label={strings.copyInlined}
            onClick={() => {
              copy(inlined.text);
            }}
          />
        )}
      </div>
    </>
  );
}

interface RunsProps {
  readonly evolution: Evolution;
  readonly shown: Place;
  readonly graphClass: number;
}

const numberColumn = (title: string) => ({ title, isNumber: true });
const runColumns = [
  { title: strings.iteration },
  ...[strings.testLong, strings.validationLong, strings.trainLong].map(numberColumn),
  ...[strings.trainingLong, strings.massLong].map(numberColumn),
];

function Runs({ evolution, shown, graphClass }: RunsProps): VNode {
  const runs = findRuns(evolution, graphClass);
  const rows = runs.flatMap((place) => {
    const model = modelAt(evolution, place);
    if (model === undefined) return [];
    const { test, validation, train, training } = model.metrics;
    const isShown = place.iteration === shown.iteration && place.model === shown.model;
    const number = place.iteration + 1;
    return [
      [
        isShown && runs.length > 1 ? strings.thisRun(number) : number,
        ...[test, validation, train, training].map(formatPercent),
        model.mass,
      ],
    ];
  });
  return <Table caption={strings.runs} columns={runColumns} rows={rows} />;
}

function Edges({ model }: { readonly model: Model }): VNode {
  const { edges, nodes } = layOutGraph(model.graph);
  const idAt = ({ x, y }: { readonly x: number; readonly y: number }) =>
    nodes.find((node) => node.x === x && node.y === y)?.id ?? 0;
  return (
    <Table
      caption={strings.edges}
      columns={[{ title: strings.edge }, { title: strings.between }, numberColumn(strings.port)]}
      rows={edges.map(({ id, port, ends: [from, to] }) => [
        id,
        strings.ends(idAt(from), idAt(to)),
        port,
      ])}
    />
  );
}
