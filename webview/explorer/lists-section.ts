import { h } from '../dom';
import { formatBytes, formatCount } from '../format';
import { fileName } from '../file-name';
import { folded, scrollingTable, section, simpleTable } from '../simple-table';
import { strings } from './strings';
import type { ModelDescription, Send } from './types';

/** Files whose text an editor shows; the others are only named. */
const textFile = /\.(json|txt|jinja)$/;

/** Files, metadata, configuration and, of an ONNX file, its graph's interface. */
export function listSections(model: ModelDescription, send: Send): HTMLElement[] {
  return [
    section('files-title', strings.files, weightFiles(model)),
    section('side-title', strings.sideFiles, sideFiles(model, send)),
    ...(model.graph === undefined ? [] : [graph(model.graph)]),
    ...pairs('metadata-title', strings.metadata, model.metadata),
    ...pairs('config-title', strings.config, model.config),
  ];
}

function weightFiles({ files }: ModelDescription): HTMLElement {
  return scrollingTable(
    strings.files,
    [
      { title: strings.fileColumn },
      { title: strings.tensorsColumn, isNumber: true },
      { title: strings.size, isNumber: true },
    ],
    files.map(({ path, tensors, bytes }) => [
      h('span', { title: path }, fileName(path)),
      formatCount(tensors),
      formatBytes(bytes),
    ]),
  );
}

function sideFiles({ sideFiles: files }: ModelDescription, send: Send): HTMLElement {
  if (files.length === 0) {
    return h('p', { class: 'muted' }, strings.noSideFiles);
  }
  const open = (name: string): HTMLElement => {
    const button = h(
      'button',
      { type: 'button', class: 'link', title: strings.openFile(name) },
      name,
    );
    button.addEventListener('click', () => {
      send({ type: 'openFile', name });
    });
    return button;
  };
  return simpleTable(
    strings.sideFiles,
    [
      { title: strings.fileColumn },
      { title: strings.roleColumn },
      { title: strings.size, isNumber: true },
      { title: strings.contentColumn },
    ],
    files.map(({ name, role, bytes, facts }) => [
      textFile.test(name) ? open(name) : name,
      strings.role(role),
      formatBytes(bytes),
      h(
        'span',
        { class: 'wrap' },
        Object.entries(facts)
          .map(([field, value]) => `${field}: ${value}`)
          .join(', '),
      ),
    ]),
  );
}

function graph({
  inputs,
  outputs,
  operators,
  opsets,
}: NonNullable<ModelDescription['graph']>): HTMLElement {
  const ports = (title: string, list: typeof inputs) =>
    folded(
      `${title} (${formatCount(list.length)})`,
      true,
      scrollingTable(
        title,
        [
          { title: strings.column.name },
          { title: strings.column.dtype },
          { title: strings.column.shape },
        ],
        list.map(({ name, dtype, shape }) => [
          name,
          dtype,
          shape === undefined ? strings.unknown : shape.join(' × '),
        ]),
      ),
    );
  const counts = (title: string, list: Readonly<Record<string, number>>, value: string) =>
    folded(
      `${title} (${formatCount(Object.keys(list).length)})`,
      false,
      scrollingTable(
        title,
        [{ title: strings.column.name }, { title: value, isNumber: true }],
        Object.entries(list)
          .sort(([, a], [, b]) => b - a)
          .map(([name, count]) => [name, formatCount(count)]),
      ),
    );
  return section(
    'graph-title',
    strings.graph,
    ports(strings.inputs, inputs),
    ports(strings.outputs, outputs),
    counts(strings.operators, operators, strings.countColumn),
    counts(strings.opsets, opsets, strings.valueColumn),
  );
}

function pairs(id: string, title: string, values: Readonly<Record<string, string>>): HTMLElement[] {
  const entries = Object.entries(values);
  return entries.length === 0
    ? []
    : [
        section(
          id,
          title,
          folded(
            `${title} (${formatCount(entries.length)})`,
            entries.length <= 12,
            scrollingTable(
              title,
              [{ title: strings.keyColumn }, { title: strings.valueColumn }],
              entries.map(([key, value]) => [key, h('span', { class: 'wrap' }, value)]),
            ),
          ),
        ),
      ];
}
