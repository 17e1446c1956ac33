import { counted } from '../counted';
import type { SelectedData } from '../../core/operations/select-data';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const selectData: Presenter<SelectedData> = {
  options: {},
  print: ({ classes, examples, kept, policy, out }, { terminal }) => {
    printTable(
      terminal,
      ['class', 'examples', 'kept'],
      classes.map((one) => [one.name, String(one.examples), String(one.kept)]),
    );
    terminal.print(`${kept} of ${counted(examples, 'example')} are kept.`);
    if (policy === 'max') {
      terminal.note('The highest scores include wrong labels: see --policy window.');
    }
    terminal.note(`Selection: ${out}`);
  },
};
