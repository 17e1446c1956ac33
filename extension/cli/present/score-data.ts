import { counted } from '../counted';
import type { DataScoring } from '../../core/operations/score-data';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const scoreData: Presenter<DataScoring> = {
  options: {},
  print: (
    { examples, runs, interRunSpearman, seconds, suspected, notes, ...others },
    { terminal, request },
  ) => {
    const agreement = interRunSpearman === null ? 'none for one run' : interRunSpearman.toFixed(3);
    terminal.print(`${counted(examples, 'example')}, ${runs} runs, ${seconds.toFixed(1)} s`);
    terminal.print(`Spearman between runs: ${agreement}`);
    terminal.print(`Suspected labels: ${suspected}`);
    terminal.print(`Duplicates of an earlier example: ${others.duplicates}`);
    terminal.print(`Outliers: ${others.outliers}`);
    if (others.labelIssues.length > 0) {
      printTable(
        terminal,
        ['class', 'examples', 'suspected', 'most often predicted'],
        others.labelIssues.map((one) => [
          one.class,
          String(one.examples),
          String(one.suspected),
          `${one.predicted} (${one.times})`,
        ]),
      );
    }
    notes.forEach((note) => {
      terminal.note(note);
    });
    terminal.note(`Scores: ${String(request['out'])}`);
  },
};
