import { glossary } from '../../core/glossary';
import { formatPercent } from '../../core/format';
import { parseRanges } from '../../core/models/width-pruning/number-ranges';
import { formatAmount } from '../../core/tensornet/budget/budget-limits';
import type { RefinedPlan } from '../../core/tensornet/budget/refine-plan';
import { formatCompression } from '../../core/tensornet/compression-choice';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const planCompression: Presenter<RefinedPlan> = {
  terms: { distance: glossary.measuredDistance },
  options: {},
  print: (plan, { terminal, request }) => {
    const { compress, remove, widths, limits, cost, costBefore, distance } = plan;
    const rows = new Map<string, number>();
    for (const choice of compress) {
      const key = `${choice.tensor.replaceAll(/\.\d+\./g, '.*.')}\n${formatCompression(choice)}`;
      rows.set(key, (rows.get(key) ?? 0) + 1);
    }
    printTable(
      terminal,
      ['layer', 'method', 'count'],
      [...rows].map(([key, count]) => [...key.split('\n'), String(count)]),
    );
    for (const id of remove) {
      terminal.print(`Remove ${id}`);
    }
    for (const { sublayer, remove: ranges } of widths) {
      const count = parseRanges(ranges)?.length ?? 0;
      terminal.print(`Prune the width of ${sublayer} by ${count}`);
    }
    for (const { unit, cost, before, most } of limits.length > 1 ? limits : []) {
      terminal.print(
        `${unit}: ${formatAmount(unit, cost)} of at most ${formatAmount(unit, most)} (${formatPercent(cost / before)} of the original)`,
      );
    }
    terminal.print(
      `${formatPercent(cost / costBefore)} of the original are left, distance ${distance.toPrecision(3)}`,
    );
    if (plan.byImportance === true) {
      terminal.note('Measured with rounding by importance: apply it with --imatrix.');
    }
    const { out } = request;
    if (typeof out === 'string') {
      terminal.note(`Plan: ${out}`);
    }
  },
};
