import { counted } from '../counted';
import type { ExportedData } from '../../core/operations/export-data';
import type { Presenter } from '../presenter';

export const exportData: Presenter<ExportedData> = {
  options: {},
  print: ({ examples, of }, { terminal, request }) => {
    terminal.print(`${examples} of ${counted(of, 'example')}: ${String(request['out'])}`);
  },
};
