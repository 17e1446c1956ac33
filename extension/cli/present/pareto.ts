import { formatPercent } from '../../core/format';
import type { OperationOf } from '../../core/operations/operations';
import { formatAmount } from '../../core/tensornet/budget/budget-limits';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

/** A row for each plan, from the dearest to the cheapest. */
export const pareto: Presenter<Awaited<ReturnType<OperationOf<'pareto'>['run']>>> = {
  options: {},
  print: ({ unit, points, metric }, { terminal }) => {
    printTable(
      terminal,
      [unit, 'left', `sum of distances (${metric})`, 'removed', 'narrowed', 'compressed'],
      points.map(({ cost, share, sumOfDistances, remove, narrow, compress }) => [
        formatAmount(unit, cost),
        formatPercent(share),
        sumOfDistances.toPrecision(3),
        ...[remove, narrow, compress].map(({ length }) => String(length)),
      ]),
    );
    for (const { plan } of points) {
      if (plan !== undefined) {
        terminal.note(plan);
      }
    }
  },
};
