import { counted } from '../counted';
import type { ConvertedScores } from '../../core/operations/convert-scores';
import type { Presenter } from '../presenter';

export const convertScores: Presenter<ConvertedScores> = {
  options: {},
  print: ({ examples, format }, { terminal, request }) => {
    terminal.print(`${counted(examples, 'score')} as ${format}: ${String(request['out'])}`);
  },
};
