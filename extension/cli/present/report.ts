import { formatBytes } from '../../core/format';
import type { WrittenReport } from '../../core/operations/report';
import type { Presenter } from '../presenter';

export const report: Presenter<WrittenReport> = {
  options: {},
  print: ({ title, path, bytes }, { terminal }) => {
    terminal.print(title);
    terminal.note(`Report: ${path} (${formatBytes(bytes)})`);
  },
};
