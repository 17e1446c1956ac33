import { l10n } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { EncodingName } from '../../core/tensornet/compression-choice';

export type MethodItem = QuickPickItem & { readonly method: EncodingName };

/** The methods of compression, each explained in a line. */
export function methodItems(): MethodItem[] {
  return [
    {
      method: 'int8',
      label: 'int8',
      description: l10n.t('about 9 bits per weight'),
      detail: l10n.t('Rounds weights in small groups. Nearly no loss.'),
    },
    {
      method: 'int4',
      label: 'int4',
      description: l10n.t('about 5 bits per weight'),
      detail: l10n.t(
        'Rounds weights in small groups, with error feedback from calibration (GPTQ). Smallest error.',
      ),
    },
    {
      method: 'lowrank',
      label: l10n.t('Low rank'),
      description: l10n.t('two thin matrices'),
      detail: l10n.t('Keeps the directions that outputs use most. Needs repair.'),
    },
    {
      method: 'mpo',
      label: l10n.t('Tensor network (MPO)'),
      description: l10n.t('CompactifAI'),
      detail: l10n.t('A chain of small tensors. Needs repair; rarely faster.'),
    },
  ];
}
