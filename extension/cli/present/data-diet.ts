import type { DietResult, DietRow } from '../../core/datadiet/subsets/diet-experiment';
import { formatPercent } from '../../core/format';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const dataDiet: Presenter<DietResult> = {
  options: {},
  print: ({ scorings, sweeps, rows, request }, { terminal, request: asked }) => {
    for (const { choice, interRunSpearman, seconds, noiseAuroc, notes } of scorings) {
      const agreement =
        interRunSpearman === null ? '' : `, Spearman ${interRunSpearman.toFixed(3)}`;
      const noise =
        noiseAuroc === undefined ? '' : `, AUROC of flipped labels ${noiseAuroc.toFixed(3)}`;
      terminal.print(
        `${choice}: ${request.runs} runs${agreement}, ${seconds.toFixed(1)} s${noise}`,
      );
      notes.forEach((note) => {
        terminal.print(`  ${note}`);
      });
    }
    for (const { choice, keep, chosen, validated, seconds } of sweeps) {
      terminal.print(
        `${choice}, keep ${keep}: offset ${chosen} validates best of ${validated.length} (${seconds.toFixed(1)} s)`,
      );
    }
    terminal.print();
    printTable(
      terminal,
      ['trained on', 'examples', 'steps', 'test accuracy', 'wrong labels', 'seconds'],
      rows.map((row) => [
        describe(row),
        `${row.examples} (${formatPercent(row.keep)})`,
        String(row.steps),
        accuracy(row),
        row.wrongLabels === undefined ? '–' : formatPercent(row.wrongLabels),
        row.seconds.toFixed(1),
      ]),
    );
    const same = request.iso === 'steps' ? 'as many steps' : 'as many epochs';
    terminal.print(
      `Each subset is trained for ${same} as the full dataset, with ${request.seeds} seeds. Seconds are the total of all seeds, without scoring.`,
    );
    terminal.note(`Result: ${String(asked['out'])}`);
  },
};

function describe({ choice, policy, offset }: DietRow): string {
  return policy === undefined || policy === 'random'
    ? choice
    : `${choice} ${policy}${offset === undefined ? '' : ` after ${offset}`}`;
}

function accuracy({ mean, deviation }: DietRow): string {
  const percent = (100 * mean).toFixed(2);
  return deviation === undefined ? percent : `${percent} ± ${(100 * deviation).toFixed(2)}`;
}
