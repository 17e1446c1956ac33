import { basename } from 'node:path';
import type { OperationOf } from '../../core/operations/operations';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import { formatPercent } from '../../core/format';

/** A row for each expert, the least salient of each MoE layer first. */
export const scoreExperts: Presenter<Awaited<ReturnType<OperationOf<'score-experts'>['run']>>> = {
  options: {},
  print: ({ layers, remove, texts = [] }, { terminal, request }) => {
    const marked = new Set(remove);
    printTable(
      terminal,
      [
        'expert',
        'mean gate × output',
        'tokens',
        'share of tokens',
        ...texts.map((text) => `in ${basename(text)}`),
        ...(marked.size === 0 ? [] : ['removed']),
      ],
      layers.flatMap((experts) =>
        [...experts]
          .sort((a, b) => a.saliency - b.saliency)
          .map(({ expert, saliency, tokens, frequency, texts: byText = [] }) => [
            expert,
            saliency.toPrecision(3),
            String(tokens),
            formatPercent(frequency),
            ...byText.map((one) => formatPercent(one.frequency)),
            ...(marked.size === 0 ? [] : [marked.has(expert) ? 'yes' : '']),
          ]),
      ),
    );
    const { out } = request;
    if (typeof out === 'string') {
      terminal.note(`Plan: ${out}`);
    }
  },
};
