import type { Plan } from '../../core/plans/plan';
import type { Presenter } from '../presenter';

export const plan: Presenter<Plan> = {
  options: {},
  print: ({ remove }, { terminal, request }) => {
    for (const id of remove) {
      terminal.print(id);
    }
    terminal.note(`Plan: ${String(request['out'])}`);
  },
};
