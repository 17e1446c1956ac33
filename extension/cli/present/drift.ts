import { counted } from '../counted';
import { glossary } from '../../core/glossary';
import { formatPercent } from '../../core/format';
import type { Drift, DriftedPosition } from '../../core/evaluate/drift';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const drift: Presenter<Drift> = {
  terms: { drift: glossary.drift },
  options: {},
  print: ({ sublayers, starts, startsAt = [], positions, limit: share }, { terminal }) => {
    printTable(
      terminal,
      ['after', 'drift', 'cosine', 'largest at token', 'drift there'],
      sublayers.map(({ sublayer, removed, relativeError, cosine, worst }) => [
        removed ? `${sublayer} (removed)` : sublayer,
        formatPercent(relativeError),
        cosine.toFixed(3),
        ...driftCells(worst),
      ]),
    );
    const limit = formatPercent(share);
    terminal.print(
      starts === undefined
        ? `Drift stays below ${limit} (${counted(positions, 'position')}).`
        : `Drift reaches ${limit} after ${starts} (${counted(positions, 'position')}).`,
    );
    if (startsAt.length > 0) {
      const listed = startsAt.map(driftCells).map(([place, drift]) => `${place} (${drift})`);
      terminal.print(`Largest there: ${listed.join(', ')}`);
    }
  },
};

/** Position with the largest drift, and its size; dashes if there is no drift. */
function driftCells({ token, position, relativeError }: DriftedPosition): [string, string] {
  return relativeError === 0
    ? ['–', '–']
    : [
        token === undefined ? String(position) : `${JSON.stringify(token)}, ${position}`,
        formatPercent(relativeError),
      ];
}
