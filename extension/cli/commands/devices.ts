import { listDevices } from '../../core/runtime/devices';
import type { Command } from '../command';
import { printTable } from '../table';

export const devices: Command = {
  name: 'devices',
  usage: '[--json]',
  summary: 'List what models can run on here, and what trying each showed.',
  options: { json: { type: 'boolean' } },
  run: async (args, { terminal }) => {
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
