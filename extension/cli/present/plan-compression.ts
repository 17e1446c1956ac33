import { formatPercent } from '../../core/format';
import type { RefinedPlan } from '../../core/tensornet/budget/refine-plan';
import { formatCompression } from '../../core/tensornet/compression-choice';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const planCompression: Presenter<RefinedPlan> = {
  options: {},
  print: ({ compress, remove, cost, costBefore, distance }, { terminal, request }) => {
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
    terminal.print(
      `${formatPercent(cost / costBefore)} of the original are left, distance ${distance.toPrecision(3)}`,
    );
    const { out } = request;
    if (typeof out === 'string') {
      terminal.note(`Plan: ${out}`);
    }
  },
};
