import { counted } from '../counted';
import { defaultTextPolicy, textPolicies } from '../../core/data/text-scores';
import type { TextScores } from '../../core/data/text-scores';
import { mean } from '../../core/statistics';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

/** Scores shown of each end. */
const shown = 5;

export const scoreText: Presenter<TextScores> = {
  options: {},
  print: ({ scores, definition }, { terminal, request }) => {
    const order = scores.map((_, i) => i).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
    const ends = [...new Set([...order.slice(0, shown), ...order.slice(-shown)])];
    terminal.print(
      `${definition}; ${counted(scores.length, 'window')}, mean ${mean(scores).toFixed(4)}`,
    );
    terminal.print();
    printTable(
      terminal,
      ['window', 'score'],
      ends.map((i) => [String(i).padStart(6), (scores[i] ?? 0).toFixed(4)]),
    );
    terminal.print(
      `profile and prune choose ${textPolicies.join(', ')} windows with --calibration-scores (default: ${defaultTextPolicy}).`,
    );
    terminal.note(`Scores: ${String(request['out'])}`);
  },
};
