import { formatDuration } from '../../core/format';
import type { QueueState } from '../../core/operations/show-queue';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const queue: Presenter<QueueState> = {
  options: {},
  print: ({ workers, jobs }, { terminal }) => {
    printTable(
      terminal,
      ['worker', 'device', 'models', 'data', 'version', 'state', 'pieces', 'per minute'],
      workers.map(({ name, device, models, data, version, isBusy, done, rate }) => [
        ...[
          name,
          device,
          String(models),
          String(data),
          version,
          isBusy ? 'working' : 'waiting',
          String(done),
        ],
        rate.toFixed(1),
      ]),
    );
    terminal.print('');
    printTable(
      terminal,
      ['job', 'about', 'pieces', 'open', 'per minute', 'left'],
      jobs.map(({ kind, about, done, open, rate, secondsLeft }) => [
        ...[kind, about.slice(0, 12), String(done), String(open), rate.toFixed(1)],
        secondsLeft === null ? '' : formatDuration(secondsLeft),
      ]),
    );
  },
};
