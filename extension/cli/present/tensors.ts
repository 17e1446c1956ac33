import { formatBytes, formatCount } from '../../core/format';
import { tensorsAsCsv } from '../../core/inspect/tensor-table';
import { flag } from '../../core/operations/fields';
import type { ListedTensor, TensorList } from '../../core/operations/tensors';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';

export const tensors: Presenter<TensorList> = {
  options: { csv: flag({ description: 'Print comma-separated values', default: false }) },
  print: ({ tensors: listed }, { terminal, options }) => {
    if (options['csv'] !== true) {
      print(terminal, listed);
      return;
    }
    const measured = listed.some(({ statistics }) => statistics !== undefined);
    const statistics = new Map(
      listed.map(({ name, statistics: found }) => [name, found ?? undefined]),
    );
    terminal.write(
      tensorsAsCsv(
        listed.map(({ place, kind, ...tensor }) => ({ place, kind, tensor })),
        measured ? statistics : undefined,
      ),
    );
  },
};

function print(terminal: Terminal, tensors: readonly ListedTensor[]): void {
  const measured = tensors.some(({ statistics }) => statistics !== undefined);
  const shown = ['mean', 'standardDeviation', 'min', 'max', 'zeros', 'nan', 'infinite'] as const;
  printTable(
    terminal,
    [
      ...['tensor', 'place', 'dtype', 'shape', 'parameters', 'bytes'],
      ...(measured ? shown.map((name) => headings[name]) : []),
    ],
    tensors.map(({ name, place, dtype, shape, parameters, bytes, statistics }) => [
      ...[name, place, dtype, shape.join('×'), formatCount(parameters), formatBytes(bytes)],
      ...(measured ? shown.map((field) => short(statistics?.[field])) : []),
    ]),
  );
}

const headings = {
  mean: 'mean',
  standardDeviation: 'std. dev.',
  min: 'min',
  max: 'max',
  zeros: 'zeros',
  nan: 'NaN',
  infinite: 'infinite',
} as const;

function short(value: number | undefined): string {
  return value === undefined ? '–' : String(Number(value.toPrecision(4)));
}
