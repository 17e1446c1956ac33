import { l10n } from 'vscode';
import type { SublayerKind } from '../core/models/model-summary';

/** Display name of a sublayer kind. */
export function sublayerName(kind: SublayerKind): string {
  const names: Readonly<Record<SublayerKind, string>> = {
    attention: l10n.t('Attention'),
    'cross-attention': l10n.t('Cross-attention'),
    mixer: l10n.t('SSM or linear attention'),
    feedforward: l10n.t('MLP'),
    convolution: l10n.t('Convolution'),
    expert: l10n.t('Experts'),
    parallel: l10n.t('Parallel branches'),
    patch: l10n.t('Graph module'),
    other: l10n.t('Other'),
  };
  return names[kind];
}
