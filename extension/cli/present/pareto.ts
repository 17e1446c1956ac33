import { formatPercent } from '../../core/format';
import type { OperationOf } from '../../core/operations/operations';
import { formatAmount } from '../../core/tensornet/budget/budget-limits';
import type { Presenter } from '../presenter';
import { formatAccuracy, formatPoints, isShown } from '../../core/evaluate/describe-accuracy';
import type { PlanScore } from '../../core/evaluate/score-plans';
import { counted } from '../counted';
import { printTable } from '../table';

/** A row for each plan, from the dearest to the cheapest. */
export const pareto: Presenter<Awaited<ReturnType<OperationOf<'pareto'>['run']>>> = {
  options: {},
  print: ({ unit, points, metric, score: original }, { terminal }) => {
    const scoreColumns = original === undefined ? [] : [original.task, 'points from the original'];
    printTable(
      terminal,
      [
        ...[unit, 'left', `sum of distances (${metric})`, 'removed', 'width-pruned', 'compressed'],
        ...scoreColumns,
      ],
      points.map(({ cost, share, sumOfDistances, remove, widths, compress, score }) => [
        formatAmount(unit, cost),
        formatPercent(share),
        sumOfDistances.toPrecision(3),
        ...[remove, widths, compress].map(({ length }) => String(length)),
        ...(score === undefined ? [] : scoreCells(score)),
      ]),
    );
    if (original !== undefined) {
      const { acc, accError, examples, task } = original;
      terminal.print(
        `${task}: the original has ${formatAccuracy(acc, accError)} of ${counted(examples, 'example')} right`,
      );
    }
    for (const { plan } of points) {
      if (plan !== undefined) {
        terminal.note(plan);
      }
    }
  },
};

function scoreCells({ acc, accError, compared: { difference } }: PlanScore): string[] {
  return [
    formatAccuracy(acc, accError),
    isShown(difference) ? formatPoints(difference.value) : 'no difference shown',
  ];
}
