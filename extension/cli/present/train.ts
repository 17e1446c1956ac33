import type { TrainResult } from '../../core/datadiet/training/train-models';
import { formatPercent } from '../../core/format';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const train: Presenter<TrainResult> = {
  options: {},
  print: ({ runs, secondsPerStep }, { terminal, request }) => {
    printTable(
      terminal,
      ['seed', 'steps', 'train accuracy', 'test accuracy'],
      runs.map(({ seed, steps, trainAccuracy, testAccuracy }) => [
        String(seed),
        String(steps),
        formatPercent(trainAccuracy),
        formatPercent(testAccuracy),
      ]),
    );
    terminal.note(
      `${(1000 * secondsPerStep).toFixed(2)} ms per step. Weights: ${String(request['out'])}`,
    );
  },
};
