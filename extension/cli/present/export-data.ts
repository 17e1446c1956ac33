import { counted } from '../counted';
import type { ExportedData } from '../../core/operations/export-data';
import type { Presenter } from '../presenter';

export const exportData: Presenter<ExportedData> = {
  options: {},
  print: ({ examples, of, relabeled }, { terminal, request }) => {
    const changed = relabeled === 0 ? '' : `, ${relabeled} with new labels`;
    terminal.print(`${examples} of ${counted(of, 'example')}${changed}: ${String(request['out'])}`);
  },
};
