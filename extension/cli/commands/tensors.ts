import { formatBytes, formatCount } from '../../core/format';
import { describeModel } from '../../core/inspect/describe-model';
import { allTensors, tensorsAsCsv } from '../../core/inspect/tensor-table';
import type { PlacedTensor } from '../../core/inspect/tensor-table';
import { tensorStatistics } from '../../core/inspect/tensor-statistics';
import type { TensorStatistics } from '../../core/inspect/tensor-statistics';
import { whyUnreadable } from '../../core/inspect/tensor-values';
import type { JobContext } from '../../core/jobs/job';
import { UsageError } from '../command';
import type { Command } from '../command';
import { printTable } from '../table';
import type { Terminal } from '../terminal';

/** By tensor; undefined where a dtype's numbers cannot be read. */
type Statistics = ReadonlyMap<string, TensorStatistics | undefined>;

export const tensors: Command = {
  name: 'tensors',
  usage: 'MODEL [--stats] [--json | --csv]',
  summary: 'List every tensor of a model by its place, with statistics of its numbers on demand.',
  options: {
    stats: { type: 'boolean' },
    json: { type: 'boolean' },
    csv: { type: 'boolean' },
  },
  run: async (args, { terminal, job }) => {
    if (args.flag('json') && args.flag('csv')) {
      throw new UsageError('Choose only one of --json and --csv.');
    }
    const model = await describeModel(args.model());
    const placed = allTensors(model);
    const statistics = args.flag('stats') ? await measure(placed, job) : undefined;
    if (args.flag('csv')) {
      terminal.write(tensorsAsCsv(placed, statistics));
    } else if (args.flag('json')) {
      const list = placed.map(({ tensor, place, kind }) => ({
        ...tensor,
        place,
        kind,
        ...(statistics === undefined ? {} : { statistics: statistics.get(tensor.name) ?? null }),
      }));
      const { name, path, format, family, totals } = model;
      const document = { name, path, format, family, totals, tensors: list };
      terminal.print(JSON.stringify(document, undefined, 2));
    } else {
      print(terminal, placed, statistics);
    }
    for (const { tensor } of statistics === undefined ? [] : placed) {
      const reason = whyUnreadable(tensor);
      if (reason !== undefined) {
        terminal.note(`${tensor.name}: ${reason}`);
      }
    }
  },
};

async function measure(placed: readonly PlacedTensor[], job: JobContext): Promise<Statistics> {
  const total = placed.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
  const statistics = new Map<string, TensorStatistics | undefined>();
  let before = 0;
  for (const { tensor } of placed) {
    const progress = (done: number): void => {
      job.progress({ stage: tensor.name, done: before + done, total, unit: 'bytes' });
    };
    const readable = whyUnreadable(tensor) === undefined;
    statistics.set(
      tensor.name,
      readable ? await tensorStatistics(tensor, job.cancellation, progress) : undefined,
    );
    before += tensor.bytes;
  }
  return statistics;
}

function print(
  terminal: Terminal,
  placed: readonly PlacedTensor[],
  statistics: Statistics | undefined,
): void {
  const shown = ['mean', 'standardDeviation', 'min', 'max', 'zeros', 'nan', 'infinite'] as const;
  printTable(
    terminal,
    [
      ...['tensor', 'place', 'dtype', 'shape', 'parameters', 'bytes'],
      ...(statistics === undefined ? [] : shown.map((name) => headings[name])),
    ],
    placed.map(({ tensor, place }) => {
      const { name, dtype, shape, parameters, bytes } = tensor;
      const known = statistics?.get(name);
      return [
        ...[name, place, dtype, shape.join('×'), formatCount(parameters), formatBytes(bytes)],
        ...(statistics === undefined ? [] : shown.map((field) => short(known?.[field]))),
      ];
    }),
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
