import type { ModelDescription, StoredTensor } from './model-description';
import type { TensorStatistics } from './tensor-statistics';

/** Tensor with its part of the model. */
export interface PlacedTensor {
  /** Id of the sublayer, or the part outside of the blocks. */
  readonly place: string;
  readonly kind: string;
  readonly tensor: StoredTensor;
}

/** Every tensor of a model, in the order of the model. */
export function allTensors({ blocks, parts }: ModelDescription): PlacedTensor[] {
  const before = parts.filter(({ part }) => part === 'embedding');
  const after = parts.filter(({ part }) => part !== 'embedding');
  const partTensors = (some: typeof parts): PlacedTensor[] =>
    some.flatMap(({ part, tensors }) =>
      tensors.map((tensor) => ({ place: part, kind: part, tensor })),
    );
  const blockTensors = blocks
    .flatMap(({ sublayers }) => sublayers)
    .flatMap(({ id, kind, tensors }) => tensors.map((tensor) => ({ place: id, kind, tensor })));
  return [...partTensors(before), ...blockTensors, ...partTensors(after)];
}

const columns = [
  'tensor',
  'place',
  'kind',
  'dtype',
  'shape',
  'parameters',
  'bytes',
  'file',
  'offset',
];
const statisticsColumns = [
  'zeros',
  'nan',
  'infinite',
  'min',
  'max',
  'mean',
  'standardDeviation',
] as const;

/** The tensors as comma-separated values (RFC 4180), with statistics where there are any. */
export function tensorsAsCsv(
  tensors: readonly PlacedTensor[],
  statistics: ReadonlyMap<string, TensorStatistics | undefined> | undefined,
): string {
  const headings = [...columns, ...(statistics === undefined ? [] : statisticsColumns)];
  const rows = tensors.map(({ place, kind, tensor }) => {
    const { name, dtype, shape, parameters, bytes, file, offset } = tensor;
    const known = statistics?.get(name);
    return [
      ...[name, place, kind, dtype, shape.join('×'), parameters, bytes, file, offset],
      ...(statistics === undefined ? [] : statisticsColumns.map((column) => known?.[column])),
    ];
  });
  return [headings, ...rows].map((cells) => `${cells.map(csvCell).join(',')}\r\n`).join('');
}

function csvCell(value: string | number | undefined): string {
  const text = String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
