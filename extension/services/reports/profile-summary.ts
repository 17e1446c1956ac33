import { l10n } from 'vscode';
import { formatDuration } from '../../core/format';
import type { LayerProfile } from '../../core/prune/layer-profile';
import { counts } from '../counts';
import { roundsNote } from './quality-report';

/** What a search has measured, in a few sentences. */
export function describeProfile({ candidates, rounds, search, evaluations }: LayerProfile): string {
  const measured = candidates.filter(({ distance }) => distance !== null).length;
  return [
    l10n.t(
      'Measured {0} and put {1} in order of removal, in {2}.',
      ...[counts.sublayers(measured), rounds.length, formatDuration(search.seconds)],
    ),
    ...roundsNote(evaluations, rounds.length),
  ].join(' ');
}
