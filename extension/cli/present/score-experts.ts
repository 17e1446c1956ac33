import type { OperationOf } from '../../core/operations/operations';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

/** A row for each expert, the least salient of each mixture first. */
export const scoreExperts: Presenter<Awaited<ReturnType<OperationOf<'score-experts'>['run']>>> = {
  options: {},
  print: ({ mixtures, remove }, { terminal, request }) => {
    const gone = new Set(remove);
    printTable(
      terminal,
      ['expert', 'mean gate × output', 'tokens', ...(gone.size === 0 ? [] : ['removed'])],
      mixtures.flatMap((experts) =>
        [...experts]
          .sort((a, b) => a.saliency - b.saliency)
          .map(({ expert, saliency, tokens }) => [
            expert,
            saliency.toPrecision(3),
            String(tokens),
            ...(gone.size === 0 ? [] : [gone.has(expert) ? 'yes' : '']),
          ]),
      ),
    );
    const { out } = request;
    if (typeof out === 'string') {
      terminal.note(`Plan: ${out}`);
    }
  },
};
