import type { Evaluation } from '../../core/evaluate/evaluation';
import type { DemoResult } from '../../core/operations/demo';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import { printApplied } from './applied';
import { printProfile } from './profile';

/** Output of `npm start`. */
export const demo: Presenter<DemoResult> = {
  options: {},
  print: ({ profile, applied, evaluation }, { terminal }) => {
    terminal.print('Importance of the sublayers');
    printProfile(profile, terminal);
    terminal.print();
    terminal.print('Pruned: a quarter of the sublayers');
    printApplied(terminal, applied, false);
    terminal.print();
    terminal.print('Held-out text, from documents that neither training nor calibration has seen');
    const row = (name: string, { perplexity, tokens, tokensPerSecond }: Evaluation): string[] => [
      name,
      perplexity.toFixed(2),
      String(tokens),
      tokensPerSecond.toFixed(0),
    ];
    printTable(
      terminal,
      ['model', 'perplexity', 'tokens', 'tokens/s'],
      [
        ...(evaluation.against === undefined ? [] : [row('before', evaluation.against)]),
        row('after', evaluation),
      ],
    );
    terminal.print();
    terminal.print(`The smaller model: ${applied.path}`);
  },
};
