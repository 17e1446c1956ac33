import { formatDuration } from '../../core/format';
import type { QueueState } from '../../core/operations/show-queue';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const queue: Presenter<QueueState> = {
  options: {},
  print: ({ workers, jobs }, { terminal }) => {
    printTable(
      terminal,
      ['worker', 'device', 'models', 'version', 'state', 'pieces', 'per minute'],
      workers.map(({ name, device, models, version, isBusy, done, rate }) => [
        ...[name, device, String(models), version, isBusy ? 'working' : 'waiting', String(done)],
        rate.toFixed(1),
      ]),
    );
    terminal.print('');
    printTable(
      terminal,
      ['job', 'model', 'pieces', 'open', 'per minute', 'left'],
      jobs.map(({ kind, model, done, open, rate, secondsLeft }) => [
        ...[kind, model.slice(0, 12), String(done), String(open), rate.toFixed(1)],
        secondsLeft === null ? '' : formatDuration(secondsLeft),
      ]),
    );
  },
};
