import { l10n } from 'vscode';
import { formatCount } from '../core/format';
import type { ModelSummary } from '../core/models/model-summary';

/**
 * Counts as phrases with singular and plural. Sentences take a phrase as an argument and avoid verbs that would have to
 * agree with it.
 */
export const counts = {
  blocks: (n: number): string =>
    n === 1 ? l10n.t('1 block') : l10n.t('{0} blocks', formatCount(n)),
  /** Same as {@link counts.blocks}, separate for encoder and decoder if a model has both. */
  formatBlocks: ({
    blocks,
    encoderBlocks,
  }: Pick<ModelSummary, 'blocks' | 'encoderBlocks'>): string =>
    encoderBlocks === undefined
      ? counts.blocks(blocks)
      : l10n.t(
          '{0} ({1} of the encoder, {2} of the decoder)',
          counts.blocks(blocks),
          formatCount(encoderBlocks),
          formatCount(blocks - encoderBlocks),
        ),
  sublayers: (n: number): string =>
    n === 1 ? l10n.t('1 sublayer') : l10n.t('{0} sublayers', formatCount(n)),
  keyHeads: (n: number): string =>
    n === 1 ? l10n.t('1 key/value head') : l10n.t('{0} key/value heads', formatCount(n)),
  channels: (n: number): string =>
    n === 1 ? l10n.t('1 channel') : l10n.t('{0} channels', formatCount(n)),
  layers: (n: number): string =>
    n === 1 ? l10n.t('1 layer') : l10n.t('{0} layers', formatCount(n)),
  tensors: (n: number): string =>
    n === 1 ? l10n.t('1 tensor') : l10n.t('{0} tensors', formatCount(n)),
  compressions: (n: number): string =>
    n === 1 ? l10n.t('1 compression') : l10n.t('{0} compressions', formatCount(n)),
  warnings: (n: number): string =>
    n === 1 ? l10n.t('1 warning') : l10n.t('{0} warnings', formatCount(n)),
  examples: (n: number): string =>
    n === 1 ? l10n.t('1 example') : l10n.t('{0} examples', formatCount(n)),
  newLabels: (n: number): string =>
    n === 1 ? l10n.t('1 new label') : l10n.t('{0} new labels', formatCount(n)),
  markedExamples: (n: number): string =>
    n === 1 ? l10n.t('1 marked example') : l10n.t('{0} marked examples', formatCount(n)),
  classes: (n: number): string =>
    n === 1 ? l10n.t('1 class') : l10n.t('{0} classes', formatCount(n)),
  suspects: (n: number): string =>
    n === 1
      ? l10n.t('1 suspected label error')
      : l10n.t('{0} suspected label errors', formatCount(n)),
  runs: (n: number): string => (n === 1 ? l10n.t('1 run') : l10n.t('{0} runs', formatCount(n))),
  epochs: (n: number): string =>
    n === 1 ? l10n.t('1 epoch') : l10n.t('{0} epochs', formatCount(n)),
  subsets: (n: number): string =>
    n === 1 ? l10n.t('1 subset') : l10n.t('{0} subsets', formatCount(n)),
  experts: (n: number): string =>
    n === 1 ? l10n.t('1 expert') : l10n.t('{0} experts', formatCount(n)),
  nodes: (n: number): string => (n === 1 ? l10n.t('1 node') : l10n.t('{0} nodes', formatCount(n))),
  edges: (n: number): string => (n === 1 ? l10n.t('1 edge') : l10n.t('{0} edges', formatCount(n))),
  plans: (n: number): string => (n === 1 ? l10n.t('1 plan') : l10n.t('{0} plans', formatCount(n))),
  pieces: (n: number): string =>
    n === 1 ? l10n.t('1 work item') : l10n.t('{0} work items', formatCount(n)),
  windows: (n: number): string =>
    n === 1 ? l10n.t('1 window') : l10n.t('{0} windows', formatCount(n)),
};
