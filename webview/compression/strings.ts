import { counted } from '../counted';
import { ends } from '../strings';
import type { SortKey } from './sort-keys';
import type { BudgetUnit, Drawback, Entry, Method, Role, CompressionScheme } from './types';
import { listed, named, t } from '../translate';

const methods: Readonly<Record<Method, string>> = {
  mpo: t('Tensor network (MPO)'),
  lowrank: t('Low rank'),
  int8: t('int8'),
  int4: t('int4'),
  gguf: t('GGUF type'),
};

const formatSetting: Readonly<Record<Method, (setting: number, type?: string) => string>> = {
  gguf: (setting, type) => type ?? String(setting),
  mpo: (setting) => t('χ {0}', setting),
  lowrank: (setting) => t('rank {0}', setting),
  int8: (setting) => (setting === 0 ? t('per output') : t('groups of {0}', setting)),
  int4: (setting) => t('groups of {0}', setting),
};

/** In the order of the panel's lines. */
const roles: Readonly<Record<Role, string>> = {
  query: t('Query'),
  key: t('Key'),
  value: t('Value'),
  'query-key-value': t('Query-key-value'),
  output: t('Output'),
  gate: t('Gate'),
  up: t('Up'),
  'gate-up': t('Gate-up'),
  down: t('Down'),
  other: t('Other'),
};

const limitName: Readonly<Record<BudgetUnit, string>> = {
  bytes: t('Size'),
  parameters: t('Parameters'),
  memory: t('Memory'),
  flops: t('FLOPs'),
  decode: t('Time to generate'),
  prefill: t('Time to process a prompt'),
};

const unitNames: Readonly<Record<BudgetUnit, (context: string) => string>> = {
  bytes: () => t('Size'),
  parameters: () => t('Parameters'),
  memory: (context) => t('Memory at {0} tokens', context),
  flops: () => t('FLOPs per token'),
  decode: () => t('Milliseconds per generated token'),
  prefill: () => t('Milliseconds per prompt token'),
};

const columns: Readonly<Record<SortKey, string>> = {
  tensor: t('Linear layer'),
  role: t('Matrix'),
  block: t('Block'),
  setting: t('Setting'),
  loss: t('Distance'),
  error: t('Matrix error'),
  outputError: t('Output error'),
  bytes: t('Bytes before'),
  after: t('After'),
  decodeMsPerToken: t('Time'),
};

const drawbacks: Readonly<Record<Drawback, string>> = {
  bytes: t('not smaller than the original'),
  flops: t('more FLOPs than the original'),
  time: t('slower than the original'),
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: t('Loading the model…'),

  // Header
  details: t('Details'),
  actions: t('Actions'),
  profile: t('Measure…'),
  profileAgain: t('Measure Again…'),
  profileTitle: t('Measure the loss of compressing each linear layer alone'),
  resume: t('Resume'),
  resumeTitle: t('Continue where the job stopped'),
  compress: t('Compress with One Method…'),
  compressTitle: t('Write a new model whose linear layers are all compressed by the same method'),
  heatmap: t('Open Layer Heatmap'),
  heatmapTitle: t('See which sublayers can be removed'),
  openText: t('Open as Text'),
  openTextTitle: t('Open the sensitivity profile in the text editor'),
  reasonRunning: (job: string) => t('{0} is running', job),
  size: t('Size'),
  layers: t('Linear layers'),
  calibration: t('Calibration'),
  calibrationValue: (sequences: string, length: string, source: string) =>
    length === '1'
      ? listed([counted(sequences, 'example'), source])
      : t('{0} × {1} tokens, {2}', sequences, length, source),
  bundledText: t('bundled text'),
  fittedTo: t('Fitted to'),
  fittedToOther: (sequences: string, length: string) =>
    length === '1' ? counted(sequences, 'other') : t('{0} × {1} other tokens', sequences, length),
  fittedToOtherTitle: t(
    'Methods that use inputs (low rank, GPTQ, scaled tensor networks) are fitted to other data than distances are measured on',
  ),
  fittedToSame: t('the same'),
  fittedToSameTitle: t(
    'Methods that use inputs (low rank, GPTQ, scaled tensor networks) were fitted to the data that distances are measured on, and seem better than they are',
  ),
  metric: t('Metric'),
  device: t('Device'),
  took: t('Took'),
  file: t('Profile'),

  // Job
  jobProgress: (job: string) => t('Progress: {0}', job),
  starting: (job: string) => t('{0} is starting', job),
  stopped: (job: string, reason: keyof typeof ends) => `${job} ${ends[reason]}`,
  finished: (job: string) => t('{0} has finished.', job),

  // Empty state
  empty: t('Measure the layers to see which can be compressed, and by how much.'),
  emptyDetail: t(
    "Each linear layer is compressed alone with several methods and settings, and the change of the output is measured on calibration text. The model isn't modified.",
  ),

  // Types of a GGUF file
  types: t('Types of this GGUF file'),
  typesNote: t('Computed for this file. Blocks and experts are removed in the heatmap.'),
  requantizes: (type: string) =>
    t('The weights are {0}. Every type quantizes them again, which adds to their loss.', type),
  type: t('Type'),
  sizeChange: t('Change'),
  loss: t('Loss'),
  time: t('Time'),
  write: t('Make…'),
  writeTitle: (size: string) => t('Write a new file in {0}, check it and evaluate it', size),
  perplexityMeasured: (change: string) => t('perplexity {0} (measured)', change),

  // Grid
  grid: t('Sensitivity to compression'),
  gridHint: t(
    'Point at a cell to see its numbers. Keyboard: arrow keys to move, Home and End to go to the ends of a row.',
  ),
  block: t('Block'),
  nothing: t('No linear layer'),
  shown: t('Method'),
  plan: t('The plan'),
  scheme: ({ method, variant, then }: CompressionScheme) =>
    [
      methods[method],
      ...(variant === undefined ? [] : [`(${variant})`]),
      ...(then === undefined ? [] : [`+ ${then}`]),
    ].join(' '),
  schemeDownTo: (scheme: CompressionScheme, size: string): string =>
    t('{0}, down to {1}', strings.scheme(scheme), size),
  method: (method: Method) => methods[method],
  setting: ({ method, setting, type }: Pick<Entry, 'method' | 'setting' | 'type'>) =>
    formatSetting[method](setting, type),
  role: roles,
  place: { embedding: t('Embedding'), head: t('Head') },
  tied: t('Embedding, head'),
  share: t('Remaining bytes of a layer'),
  shareValue: (percent: string) => t('about {0}', percent),
  oneSetting: (percent: string) => t('one setting: {0} of the bytes left', percent),
  planShown: t("Each layer as planned. Layers without a color don't change."),
  cheap: t('cheap'),
  costly: t('costly'),
  legend: (metric: string) => t('Distance to the original ({0}, log scale)', metric),
  legendNothing: t('No distances yet'),
  legendPending: t('not measured'),
  legendKept: t('left unchanged by the plan'),
  legendRemoved: t('removed by the plan'),
  legendDrawback: t('no gain: not smaller, slower, or more FLOPs than the original'),
  cellName: (line: string, block: number) => t('{0}, block {1}', line, block),
  cellLabel: (name: string, facts: readonly string[]) => named(name, listed(facts)),
  drawback: (drawback: Drawback) => drawbacks[drawback],
  status: {
    pending: t('not measured with this method'),
    kept: t('left unchanged by the plan'),
    removed: t('removed by the plan with its sublayer'),
  },

  // Benefit of the compression
  pays: (layers: string) =>
    layers === '1'
      ? t('The measured layer gets smaller, and takes no more FLOPs than the original.')
      : t(
          'All {0} layers measured here get smaller, and none takes more FLOPs than the original.',
          layers,
        ),
  paysNot: (parts: readonly string[], layers: string) =>
    t('Of {0}, {1}.', counted(layers, 'layer'), parts.join('; ')),
  paysPart: (count: string, drawback: Drawback) =>
    ({
      bytes: t('{0} would be no smaller', count),
      flops: t('{0} would need more FLOPs per token', count),
      time: t('{0} would be slower on this machine', count),
    })[drawback],
  mpoNote: t(
    'A tensor network that is multiplied out on loading saves disk space and transfer time, but no memory and no computing time.',
  ),

  // Details
  sizes: t('Shape'),
  settingFact: t('Setting'),
  distance: t('Distance'),
  error: t('Error of the matrix'),
  outputError: t('Error of its outputs'),
  bytes: t('Size'),
  parameters: t('Parameters'),
  flops: t('FLOPs per token'),
  decode: t('Time per generated token'),
  prefill: t('Time per prompt token'),
  noTime: t('not measured'),
  runs: t('Runs faster'),
  mpoRuns: {
    contracted: t('as one matrix, multiplied out on loading'),
    chained: t('core by core'),
  },
  change: (before: string, after: string) => `${before} → ${after}`,
  none: '–',

  // Findings
  findings: t('The paper and this model'),
  findingsNote: t(
    'Mean distance when one layer is compressed to about half its bytes, as a share of the largest. Models differ: rely on the measurement.',
  ),
  findingsTable: t('Statements of the paper and measurements of this model'),
  findingMethod: t('Method'),
  findingEarly: t('Paper: early blocks are sensitive'),
  findingDown: t('Paper: down projections stay uncompressed'),
  holds: t('Holds here'),
  holdsNot: t('Not here'),
  unknown: t('Unknown: too few layers were measured'),
  depth: { early: t('early'), middle: t('middle'), late: t('late') },
  findingsWaiting: t('Nothing has been measured yet.'),

  // Budget
  budget: t('Plan under a budget'),
  limits: t('Limits'),
  limitName,
  unitName: (unit: BudgetUnit, context: string) => unitNames[unit](context),
  context: t('Context'),
  tokens: (count: string) => t('{0} tokens', count),
  shareOf: (share: string, amount: string) => `${share} · ${amount}`,
  covers: t('FLOPs and times are of the blocks, and of the head if it is part of the choice.'),
  least: (limits: readonly string[]) => t('Minimum with the allowed changes: {0}.', listed(limits)),
  allowed: t('Changes allowed'),
  removes: (count: string) => t('Allow removing sublayers ({0} in the layer profile)', count),
  embeddingAndHeadToo: t('Also compress embedding and head'),
  noRemovals: t(
    'To let the plan remove sublayers, first profile them with the same metric (Open Layer Heatmap).',
  ),
  prunesWidths: (count: string) => t('Allow width pruning ({0} in the profile)', count),
  noPrediction: t('Predictions need a measured profile and a limit.'),
  leftOf: (unit: string) => t('{0} after the plan', unit),
  measurePlan: t('Measure Plan…'),
  measurePlanTitle: t('Run the model with this plan, and use the result to improve the plan'),
  usePlanTitle: t('Use the plan as predicted from single changes'),
  reasonNothing: t('Set a limit and allow a change first'),
  target: t('Target size'),
  frontNone: t('No plan to show.'),
  frontSize: t('Size'),
  frontScore: (task: string) => t('Score on {0}', task),
  scorePlans: t('Measure Task Scores…'),
  scorePlansTitle: t(
    'Choose a task (JSONL), and run the model of each of these plans on it. Nothing is written.',
  ),
  scoresHint: (original: string) => t('The original scores {0}.', original),
  frontTable: t('Plans of all sizes'),
  usePoint: t('Use'),
  savePlan: t('Save Plan'),
  savePlanTitle: t('Write the plan to a file, which you can edit'),
  applyPlan: t('Apply Plan…'),
  makeSmaller: t('Make Smaller…'),
  makeSmallerTitle: t('Write a new file of this size, check it and evaluate it'),
  applyPlanTitle: t('Write the compressed model that the plan describes'),
  forgetPlan: t('Discard Plan'),
  forgetPlanTitle: t('Show the methods again'),
  planOf: (limits: readonly string[]) => t('Plan for {0}', listed(limits)),
  limitOf: (percent: string, unit: string) => t('{0} of the {1}', percent, unit.toLowerCase()),
  cost: t('Remaining'),
  costNote: (after: string, before: string) => t('{0} of {1}', after, before),
  predicted: t('Predicted distance'),
  predictedNote: t('sum over the layers'),
  measured: t('Measured distance'),
  measuredNote: (tried: string) =>
    tried === '1' ? t('one plan measured') : t('best of {0} plans', tried),
  changed: t('Layers compressed'),
  removed: t('Sublayers removed'),
  widthPruned: t('Sublayers with pruned width'),
  ofTotal: (total: string) => t('of {0}', total),
  countOf: (count: string, scheme: string) => `${count} × ${scheme}`,

  // Table
  table: t('Linear layers'),
  tableCaption: t('Linear layers with the effect of the shown compression on each'),
  column: columns,
  rowKept: t('kept'),
  rowRemoved: t('removed'),
} as const;
