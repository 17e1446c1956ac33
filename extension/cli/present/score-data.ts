import { counted } from '../counted';
import type { DataScoring } from '../../core/operations/score-data';
import type { Presenter } from '../presenter';

export const scoreData: Presenter<DataScoring> = {
  options: {},
  print: (
    { examples, runs, interRunSpearman, seconds, suspected, notes },
    { terminal, request },
  ) => {
    const agreement = interRunSpearman === null ? 'none for one run' : interRunSpearman.toFixed(3);
    terminal.print(`${counted(examples, 'example')}, ${runs} runs, ${seconds.toFixed(1)} s`);
    terminal.print(`Spearman between runs: ${agreement}`);
    terminal.print(`Suspected labels: ${suspected}`);
    notes.forEach((note) => {
      terminal.note(note);
    });
    terminal.note(`Scores: ${String(request['out'])}`);
  },
};
