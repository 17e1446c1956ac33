import { listDevices, resolveDevice } from '../../core/runtime/devices';
import { costsInFolder } from '../../core/tensornet/costs/costs-in-folder';
import { predictMilliseconds } from '../../core/tensornet/costs/machine-costs';
import { plannedForm } from '../../core/tensornet/planned-encoding';
import type { Arguments, Command, CommandContext } from '../command';
import { costsFolder } from '../../core/runtime/user-cache';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { printTable } from '../table';

export const devices: Command = {
  name: 'devices',
  usage: `[--json]
    --costs ${runUsage}: time what products cost here, again`,
  summary: 'List what models can run on here, and what trying each showed.',
  options: { ...runOptionTypes, json: { type: 'boolean' }, costs: { type: 'boolean' } },
  run: async (args, context) => {
    const { terminal } = context;
    if (args.flag('costs')) {
      await timeProducts(args, context);
      return;
    }
    const reports = await listDevices();
    if (args.flag('json')) {
      terminal.print(JSON.stringify(reports, undefined, 2));
      return;
    }
    const state = (works: boolean, preferred: boolean): string =>
      preferred ? 'works, preferred' : works ? 'works' : 'no';
    printTable(
      terminal,
      ['device', 'state', ''],
      reports.map(({ name, works, preferred, detail }) => [name, state(works, preferred), detail]),
    );
  },
};

/** A layer to show costs of, and its forms. */
const shown = { out: 2048, in: 2048 };
const shownRows = [1, 16, 128];
const shownForms = [
  { method: 'lowrank', level: 256 },
  { method: 'int8', level: 0 },
  { method: 'int4', level: 32 },
  { method: 'mpo', level: 8 },
  { method: 'mpo', level: 32 },
] as const;

async function timeProducts(args: Arguments, { terminal, job }: CommandContext): Promise<void> {
  const device = await resolveDevice(readRunOptions(args).device, (message) => {
    job.warn(message);
  });
  const costs = await costsInFolder(costsFolder(), device, job, true);
  if (args.flag('json')) {
    terminal.print(JSON.stringify(costs, undefined, 2));
    return;
  }
  const dense = { kind: 'dense', weight: { shape: [shown.out, shown.in] } } as const;
  const planned = shownForms.map((compression) => ({
    name: `${compression.method}:${compression.level}${compression.method === 'mpo' ? ' chained' : ''}`,
    form: plannedForm(shown, compression, { isCalibrated: false, mpoRun: 'chained' }),
  }));
  printTable(
    terminal,
    [
      `${shown.out} × ${shown.in} on ${device}`,
      ...shownRows.map((rows) => `${rows} ${rows === 1 ? 'row' : 'rows'}`),
    ],
    [{ name: 'dense', form: dense }, ...planned].map(({ name, form }) => [
      name,
      ...shownRows.map((rows) => `${predictMilliseconds(costs, form, rows).toPrecision(2)} ms`),
    ]),
  );
}
