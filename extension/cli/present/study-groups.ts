import type { GroupStudy } from '../../core/datadiet/subsets/group-study';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const studyGroups: Presenter<GroupStudy> = {
  options: {},
  print: ({ groups, spawn }, { terminal, request }) => {
    const last = groups[0]?.kernelVelocity.length ?? 0;
    printTable(
      terminal,
      [
        'from rank',
        'mean score',
        'velocity, epoch 1',
        `epoch ${last}`,
        ...spawn.map((epoch) => `barrier from epoch ${epoch}`),
      ],
      groups.map(({ rank, meanScore, kernelVelocity, errorBarrier }) => [
        String(rank),
        meanScore.toPrecision(3),
        (kernelVelocity[0] ?? 0).toPrecision(3),
        (kernelVelocity.at(-1) ?? 0).toPrecision(3),
        ...errorBarrier.map((barrier) => barrier.toFixed(3)),
      ]),
    );
    terminal.note(`Result: ${String(request['out'])}`);
  },
};
