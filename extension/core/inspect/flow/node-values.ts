import { readSmallText } from '../../regular-file';
import { UserError } from '../../user-error';
import { say } from '../../message';
import { isGroup } from './flow-document';
import type { Flow, FlowItem, ValueRange } from './flow-document';
import { parseJson } from '../../parse-json';

/** Numbers of any tool by the names of nodes, sublayers, blocks or tensors. */
export type NodeValues = ReadonlyMap<string, number>;

/** Fields that a row of a list may name its node by, and its number. */
const nameFields = ['name', 'node', 'id', 'sublayer', 'tensor'];
const numberFields = ['value', 'dur', 'distance', 'milliseconds'];
/** Suffix that ONNX Runtime's profiler appends to node names. */
const kernelTime = /_kernel_time$/;

const whatToWrite = say`Write an object such as ${'{"node name": 1.5}'}, or a list such as ${'[{"name": "node name", "value": 1.5}]'}.`;

/**
 * Reads values from JSON: an object of numbers by name, a list of rows with a name and a number, node data of Model
 * Explorer, or an ONNX Runtime profile, whose times are summed per node.
 * @throws UserError if the file is not JSON, or has no such numbers
 */
export async function readNodeValues(file: string): Promise<NodeValues> {
  const values = new Map<string, number>();
  for (const [name, value] of listEntries(
    parseJson(await readSmallText(file), file, whatToWrite),
  )) {
    values.set(name, (values.get(name) ?? 0) + value);
  }
  if (values.size === 0) {
    throw new UserError('node-values-missing', say`The file contains no named values.`, {
      file,
      remedy: whatToWrite,
    });
  }
  return values;
}

function listEntries(value: unknown): [string, number][] {
  if (Array.isArray(value)) {
    return value.flatMap(parseRow);
  }
  if (!isObject(value)) {
    return [];
  }
  if ('results' in value) {
    return listEntries(value['results']);
  }
  return Object.entries(value).flatMap(([name, one]): [string, number][] => {
    if (isNumber(one)) {
      return [[name, one]];
    }
    if (isObject(one) && isNumber(one['value'])) {
      return [[name, one['value']]];
    }
    return isObject(one) && 'results' in one ? listEntries(one['results']) : [];
  });
}

function parseRow(row: unknown): [string, number][] {
  // Only node events of a profile count.
  if (!isObject(row) || ('cat' in row && row['cat'] !== 'Node')) {
    return [];
  }
  const name = nameFields.map((field) => row[field]).find((one) => typeof one === 'string');
  const value = numberFields.map((field) => row[field]).find(isNumber);
  return name === undefined || value === undefined ? [] : [[name.replace(kernelTime, ''), value]];
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;
const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value);

/**
 * The flow with the values of its items: their own, or the minimum and maximum of their contents.
 */
export function withValues(flow: Flow, values: NodeValues): Flow {
  const valued = <Item extends FlowItem>(item: Item): Item => {
    if (!isGroup(item)) {
      const own = valueRange(
        [item.name ?? '', item.id, ...item.tensors].map((one) => values.get(one)),
      );
      return own === undefined ? item : { ...item, value: own };
    }
    const children = item.children.map(valued);
    const own = valueRange([item.id, item.row ?? ''].map((one) => values.get(one)));
    const value = own ?? joined(children);
    return { ...item, children, ...(value === undefined ? {} : { value }) };
  };
  return { ...flow, items: flow.items.map(valued) };
}

/** Combined range of several items; undefined if none has a value. */
export function joined(items: readonly FlowItem[]): ValueRange | undefined {
  return valueRange(
    items.flatMap(({ value }) => (value === undefined ? [] : [value.least, value.most])),
  );
}

function valueRange(numbers: readonly (number | undefined)[]): ValueRange | undefined {
  const known = numbers.filter((one) => one !== undefined);
  return known.length === 0 ? undefined : { least: Math.min(...known), most: Math.max(...known) };
}
