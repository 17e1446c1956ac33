import { t } from '../translate';

const kinds = {
  plan: t('Best plan'),
  setting: t('The same setting for all layers'),
  type: t('Named types'),
  pruned: t('Pruned'),
  made: t('Measured plan'),
} as const;

/** Series that a point belongs to. */
export type PointKind = keyof typeof kinds;

/** Texts of the chart of distance against size. */
export const strings = {
  title: t('Size and loss'),
  kind: (kind: PointKind) => kinds[kind],
  hint: t('Filled points are measured, hollow ones predicted.'),
  dragHint: t('Drag the line to change the size.'),
  distance: (metric: string) => t('Distance ({0}, log scale)', metric),
  rounds: (rounds: number) =>
    rounds === 1 ? t('1 step of the search') : t('{0} steps of the search', rounds),
  divergence: (value: string) => t('KL divergence {0}', value),
  perplexity: (change: string) => t('perplexity {0}', change),
  evaluated: (numbers: string) => t('{0} on held-out text', numbers),
  published: (numbers: string) => t('{0} published for Llama 3 8B', numbers),
  label: (models: string) => t('Distance against size of {0}.', models),
  table: t('Values of the chart'),
  model: t('Model'),
  size: t('Size'),
  distanceColumn: t('Distance'),
  source: t('Source'),
  measured: t('measured'),
  predicted: t('predicted'),
} as const;
