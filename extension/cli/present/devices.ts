import type { DeviceCosts } from '../../core/operations/devices';
import type { DeviceReport } from '../../core/runtime/device';
import { predictMilliseconds } from '../../core/tensornet/costs/machine-costs';
import { plannedForm } from '../../core/tensornet/planned-encoding';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';

export const devices: Presenter<readonly DeviceReport[] | DeviceCosts> = {
  options: {},
  print: (result, { terminal }) => {
    if ('costs' in result) {
      printCosts(terminal, result);
      return;
    }
    const state = (works: boolean, preferred: boolean): string =>
      preferred ? 'works, preferred' : works ? 'works' : 'no';
    printTable(
      terminal,
      ['device', 'state', ''],
      result.map(({ name, works, preferred, detail }) => [name, state(works, preferred), detail]),
    );
  },
};

/** Layer whose costs are shown, in each encoding. */
const shown = { out: 2048, in: 2048 };
const shownRows = [1, 16, 128];
const shownForms = [
  { method: 'lowrank', setting: 256 },
  { method: 'int8', setting: 0 },
  { method: 'int4', setting: 32 },
  { method: 'mpo', setting: 8 },
  { method: 'mpo', setting: 32 },
] as const;

function printCosts(terminal: Terminal, { device, costs }: DeviceCosts): void {
  const dense = { kind: 'dense', weight: { shape: [shown.out, shown.in] } } as const;
  const planned = shownForms.map((compression) => ({
    name: `${compression.method}:${compression.setting}${compression.method === 'mpo' ? ' chained' : ''}`,
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
