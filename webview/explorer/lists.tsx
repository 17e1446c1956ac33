import type { VNode } from 'preact';
import { Folded, Section } from '../components/section';
import { ScrollingTable, Table } from '../components/table';
import { formatBytes, formatCount } from '../format';
import { fileName } from '../file-name';
import { listed, named } from '../translate';
import { strings } from './strings';
import type { ModelDescription } from './types';

/** Files whose text an editor shows; the others are only named. */
const textFile = /\.(json|txt|jinja)$/;

interface ListsProps {
  readonly model: ModelDescription;
  readonly onOpen: (file: string) => void;
}

const size = { title: strings.size, isNumber: true };
const { column } = strings;

/** Files, metadata, configuration and, of an ONNX file, its graph's interface. */
export function Lists({ model, onOpen }: ListsProps): VNode {
  return (
    <div class="tiles wide">
      <Section id="files-title" title={strings.files}>
        <ScrollingTable
          caption={strings.files}
          columns={[
            { title: strings.fileColumn },
            { title: strings.tensorsColumn, isNumber: true },
            size,
          ]}
          rows={model.files.map(({ path, tensors, bytes }) => [
            <span title={path}>{fileName(path)}</span>,
            formatCount(tensors),
            formatBytes(bytes),
          ])}
        />
      </Section>
      <Section class="side-files" id="side-title" title={strings.sideFiles}>
        <SideFiles model={model} onOpen={onOpen} />
      </Section>
      {model.graph !== undefined && <Graph graph={model.graph} />}
      <Pairs id="metadata-title" title={strings.metadata} values={model.metadata} />
      <Pairs id="config-title" title={strings.config} values={model.config} />
    </div>
  );
}

function SideFiles({ model: { sideFiles }, onOpen }: ListsProps): VNode {
  if (sideFiles.length === 0) return <p class="muted">{strings.noSideFiles}</p>;
  return (
    <Table
      caption={strings.sideFiles}
      columns={[
        { title: strings.fileColumn },
        { title: strings.roleColumn },
        size,
        { title: strings.contentColumn },
      ]}
      rows={sideFiles.map(({ name, role, bytes, facts }) => [
        textFile.test(name) ? (
          <button
            type="button"
            class="link"
            title={strings.openFile(name)}
            onClick={() => {
              onOpen(name);
            }}
          >
            {name}
          </button>
        ) : (
          name
        ),
        strings.role(role),
        formatBytes(bytes),
        <span class="wrap">
          {listed(Object.entries(facts).map(([field, value]) => named(field, value)))}
        </span>,
      ])}
    />
  );
}

type GraphInterface = NonNullable<ModelDescription['graph']>;

function Graph({ graph }: { readonly graph: GraphInterface }): VNode {
  return (
    <Section id="graph-title" title={strings.graph}>
      <Ports title={strings.inputs} ports={graph.inputs} />
      <Ports title={strings.outputs} ports={graph.outputs} />
      <Counts title={strings.operators} counts={graph.operators} value={strings.countColumn} />
      <Counts title={strings.opsets} counts={graph.opsets} value={strings.valueColumn} />
    </Section>
  );
}

interface PortsProps {
  readonly title: string;
  readonly ports: GraphInterface['inputs'];
}

function Ports({ title, ports }: PortsProps): VNode {
  return (
    <Folded title={`${title} (${formatCount(ports.length)})`} open>
      <ScrollingTable
        caption={title}
        columns={[{ title: column.name }, { title: column.dtype }, { title: column.shape }]}
        rows={ports.map(({ name, dtype, shape }) => [
          name,
          dtype,
          shape === undefined ? strings.unknown : shape.join(' × '),
        ])}
      />
    </Folded>
  );
}

interface CountsProps {
  readonly title: string;
  readonly counts: Readonly<Record<string, number>>;
  /** Title of the column of numbers. */
  readonly value: string;
}

function Counts({ title, counts, value }: CountsProps): VNode {
  const entries = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return (
    <Folded title={`${title} (${formatCount(entries.length)})`}>
      <ScrollingTable
        caption={title}
        columns={[{ title: column.name }, { title: value, isNumber: true }]}
        rows={entries.map(([name, count]) => [name, formatCount(count)])}
      />
    </Folded>
  );
}

interface PairsProps {
  readonly id: string;
  readonly title: string;
  readonly values: Readonly<Record<string, string>>;
}

function Pairs({ id, title, values }: PairsProps): VNode | null {
  const entries = Object.entries(values);
  if (entries.length === 0) return null;
  return (
    <Section id={id} title={title}>
      <Folded title={`${title} (${formatCount(entries.length)})`} open={entries.length <= 12}>
        <ScrollingTable
          caption={title}
          columns={[{ title: strings.keyColumn }, { title: strings.valueColumn }]}
          rows={entries.map(([key, value]) => [key, <span class="wrap">{value}</span>])}
        />
      </Folded>
    </Section>
  );
}
