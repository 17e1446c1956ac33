import { t } from '../translate';

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: t('Opening the report…'),
  title: t('Smaller model'),
  actions: t('Actions'),
  tryIt: t('Try It'),
  tryItTitle: t('Open it in the playground next to the original'),
  reveal: t('Reveal'),
  revealTitle: t('Show the files in the Explorer'),
  evenSmaller: t('Even Smaller…'),
  evenSmallerTitle: t('Choose another size of the original'),
  seeWhy: t('See Why'),
  seeWhyTitle: t('Show what each tensor costs in each type'),
  compare: t('Compare'),
  compareTitle: t('Compare its tensors with those of the original'),

  size: t('Size'),
  memory: t('Memory'),
  memoryNote: (before: string, tokens: string) =>
    t('instead of {0}, at {1} tokens of context', before, tokens),
  sizeNote: (before: string, change: string) => t('instead of {0} ({1})', before, change),
  perplexity: t('Perplexity'),
  perplexityNote: (before: string, after: string) => t('{0} → {1}', before, after),
  divergence: t('KL divergence'),
  nats: t('nats per token'),
  agreement: t('Top-1 agreement'),
  interval: (low: string, high: string) => t('95 % interval {0} to {1}', low, high),
  decode: t('Decode'),
  prefill: t('Prefill'),
  speed: (amount: string) => t('{0} tokens/s', amount),
  speedNote: (release: string, threads: string) =>
    t('in llama.cpp {0}, CPU threads: {1}', release, threads),
  measuredOn: (tokens: string) => t('Measured on {0} tokens of held-out text.', tokens),
  notMeasured: t('It was not evaluated: the model reads no text, or it could not be run.'),
  requantized: (type: string) =>
    t(
      'The weights of the original are {0}. The loss is relative to that file, not to the model it was made from.',
      type,
    ),
  noDifference: t('no significant difference'),

  result: t('Result'),
  run: t('Run it'),
  copy: t('Copy'),
  copyTitle: (program: string) => t('Copy the command for {0}', program),
  copied: t('Copied.'),
  choices: t('Types'),
  type: t('Type'),
  bytes: t('Bytes'),
  share: t('Share'),
  mix: (measured: string, layers: string, distance: string) =>
    t(
      '{0} of {1} linear layers were measured. Distance of the mix from the original: {2}.',
      measured,
      layers,
      distance,
    ),
  limits: t('Requirements'),
  limit: t('Limit'),
  measured: t('Measured'),
  verdict: t('Verdict'),
  outcomes: {
    accept: t('accepted'),
    regression: t('regression'),
    'not enough evidence': t('not enough evidence'),
  } as const,
} as const;
