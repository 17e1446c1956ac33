import { join } from 'node:path';
import { formatBytes, formatPercent } from '../../../core/format';
import { repairModel, trainedLayers } from '../../../core/export/compression/repair-model';
import { workFolder } from '../../../core/jobs/work-folder';
import type { RepairResult } from '../../../core/export/compression/repair-model';
import { defaultRepair, defaultRepairText } from '../../../core/tensornet/repair/repair-settings';
import { calibrationOptionTypes, calibrationUsage, readCalibration } from '../calibration-options';
import { UsageError } from '../command';
import type { Arguments, Command } from '../command';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { printTable } from '../../table';
import type { Terminal } from '../../terminal';

export const repair: Command = {
  name: 'repair',
  usage: `MODEL --teacher MODEL2 [--text FILE] --out DIR [--json]
    ${calibrationUsage(defaultRepairText)}
    [--train ${trainedLayers.join('|')}] [--end-to-end|--no-end-to-end]
    [--epochs ${defaultRepair.epochs}] [--batch ${defaultRepair.batch}] [--rate ${defaultRepair.rate}] [--seed N]
    [--overwrite] ${runUsage}`,
  summary: 'Teach a compressed or pruned model what the original does, and keep what is better.',
  options: {
    ...calibrationOptionTypes,
    ...runOptionTypes,
    teacher: { type: 'string' },
    text: { type: 'string' },
    train: { type: 'string' },
    'end-to-end': { type: 'boolean' },
    'no-end-to-end': { type: 'boolean' },
    epochs: { type: 'string' },
    batch: { type: 'string' },
    rate: { type: 'string' },
    seed: { type: 'string' },
    out: { type: 'string' },
    overwrite: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, samples, resumeHint, open }) => {
    const out = args.text('out');
    const teacher = args.text('teacher');
    if (out === undefined || teacher === undefined) {
      throw new UsageError(
        'Say with --teacher which model is the original, and with --out where the new folder is to be.',
      );
    }
    const text = args.text('text');
    if (text !== undefined && args.text('calibration') !== undefined) {
      throw new UsageError('Give the text to learn from once: --text or --calibration.');
    }
    const model = await open(args.model());
    const { summary } = model;
    resumeHint(
      `Run the same command again to go on: sublayers that are done are kept in ${workFolder(out, 'repair')}.`,
    );
    const result = await repairModel(
      {
        model,
        teacher: await open(teacher),
        text: {
          ...readCalibration(args, summary.maxPositions, defaultRepairText),
          ...(text === undefined ? {} : { file: text }),
          upTo: args.text('sequences') === undefined,
        },
        bundledText: join(samples, 'calibration.txt'),
        trains: args.choice('train', trainedLayers, 'compressed'),
        settings: {
          ...defaultRepair,
          epochs: args.number('epochs') ?? defaultRepair.epochs,
          batch: args.number('batch') ?? defaultRepair.batch,
          rate: args.number('rate') ?? defaultRepair.rate,
          seed: args.number('seed') ?? defaultRepair.seed,
        },
        ...readEndToEnd(args),
        out,
        overwrite: args.flag('overwrite'),
        ...readRunOptions(args),
      },
      job,
    );
    if (args.flag('json')) {
      terminal.print(JSON.stringify(result, undefined, 2));
    } else {
      printResult(terminal, result);
    }
  },
};

/** Whether the whole model is trained at once; where it can be unless it is said. */
function readEndToEnd(args: Arguments): { endToEnd?: boolean } {
  const [yes, no] = [args.flag('end-to-end'), args.flag('no-end-to-end')];
  if (yes && no) {
    throw new UsageError('Give --end-to-end or --no-end-to-end, not both.');
  }
  return yes || no ? { endToEnd: yes } : {};
}

function printResult(terminal: Terminal, result: RepairResult): void {
  const { slices, unit, lossBefore, lossAfter, path, bytesAfter } = result;
  printTable(
    terminal,
    ['sublayer', 'error before', 'after', 'epochs', ''],
    slices.map(({ sublayer, repaired, errorBefore, errorAfter, epochs }) => [
      sublayer,
      errorBefore.toExponential(2),
      errorAfter.toExponential(2),
      String(epochs),
      repaired ? 'repaired' : 'as before',
    ]),
  );
  const gone = 1 - lossAfter / lossBefore;
  const [name, words] =
    unit === 'nats' ? ['KL', ' nats per token'] : ['‖ŷ − y‖² / ‖y‖² of outputs', ''];
  terminal.print(
    `Held-out ${name} to the teacher: ${lossBefore.toPrecision(4)} → ${lossAfter.toPrecision(4)}${words} (${formatPercent(gone)} less)`,
  );
  terminal.print(`${path} (${formatBytes(bytesAfter)})`);
}
