import { formatPercent } from '../../core/format';
import type { Drift } from '../../core/evaluate/drift';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const drift: Presenter<Drift> = {
  options: {},
  print: ({ sublayers, starts, positions, limit: share }, { terminal }) => {
    printTable(
      terminal,
      ['behind', 'change', 'cosine', 'most at token', 'change there'],
      sublayers.map(({ sublayer, removed, relativeError, cosine, worst }) => [
        removed ? `${sublayer} (removed)` : sublayer,
        formatPercent(relativeError),
        cosine.toFixed(3),
        `${worst.token === undefined ? '' : `${JSON.stringify(worst.token)}, `}${worst.position}`,
        formatPercent(worst.relativeError),
      ]),
    );
    const limit = formatPercent(share);
    terminal.print(
      starts === undefined
        ? `Hidden states stay within ${limit} of the original's, on ${positions} positions.`
        : `Hidden states differ by ${limit} and more from ${starts} on, on ${positions} positions.`,
    );
  },
};
