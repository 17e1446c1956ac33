import { counted } from '../counted';
import { t } from '../translate';
import type { FrontierPoint } from './frontier-points';

const kinds: Readonly<Record<FrontierPoint['kind'], string>> = {
  plan: t('Best plan'),
  setting: t('One setting for all layers'),
  type: t('Named types'),
  pruned: t('Pruned'),
  made: t('Measured plan'),
};

/** Texts of the chart of size against loss. */
export const strings = {
  title: t('Size and loss'),
  kind: (kind: FrontierPoint['kind']) => kinds[kind],
  hint: t('Filled points are measured, hollow ones predicted.'),
  dragHint: t('Drag the line to change the size.'),
  size: t('Size'),
  loss: (metric: string) => t('Loss ({0}, log scale)', metric),
  rounds: (rounds: number) => t('{0} removed', counted(String(rounds), 'step')),
  divergence: (value: string) => t('KL divergence {0}', value),
  perplexity: (change: string) => t('perplexity {0}', change),
  evaluated: (numbers: string) => t('{0} on held-out text', numbers),
  published: (numbers: string) => t('{0} published for Llama 3 8B', numbers),
  label: (count: string, names: string) => t('Chart of size against loss: {0}. {1}', count, names),
  table: t('Numbers of the chart'),
  model: t('Model'),
  change: t('Change'),
  lossColumn: t('Loss'),
  source: t('Source'),
  measured: t('measured'),
  predicted: t('predicted'),
  action: t('Action'),
} as const;
