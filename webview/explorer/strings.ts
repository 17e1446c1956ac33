import { formatBlocks } from '../blocks';
import type { BlockCounts } from '../blocks';
import { counted } from '../counted';
import type { ComponentKind, ModelDescription, SideFile } from './types';
import { listed, t } from '../translate';

const kinds: Readonly<Record<ComponentKind, string>> = {
  attention: t('Attention'),
  'cross-attention': t('Cross-attention'),
  mixer: t('SSM or linear attention'),
  feedforward: t('MLP'),
  convolution: t('Convolution'),
  expert: t('Experts'),
  parallel: t('Parallel branches'),
  patch: t('Graph module'),
  embedding: t('Embedding'),
  'final-norm': t('Final norm'),
  head: t('LM head'),
  other: t('Other'),
};

const roles: Readonly<Record<SideFile['role'], string>> = {
  config: t('Configuration'),
  tokenizer: t('Tokenizer'),
  generation: t('Generation'),
  adapter: t('Adapter'),
  projector: t('Projector'),
  processor: t('Preprocessing'),
  template: t('Chat template'),
};

const sources: Readonly<Record<ModelDescription['understood']['by'], string>> = {
  architecture: t('Blocks and sublayers follow the model’s architecture.'),
  graph: t('Sublayers are found by following the residual stream through the graph.'),
  names: t(
    'Unknown architecture: blocks and sublayers are inferred from the names of the tensors.',
  ),
};

/** Every text of the explorer that people read, so that a translation replaces one module. */
export const strings = {
  loading: t('Reading the headers…'),
  failed: t('Can’t open this model'),
  tryAgain: t('Try Again'),

  // Header
  parameters: t('Parameters'),
  activeParameters: (count: string) => t('{0} active per token', count),
  size: t('Size'),
  structure: t('Structure'),
  structureValue: (model: BlockCounts, sublayers: string, tensors: string) =>
    listed([formatBlocks(model), counted(sublayers, 'sublayer'), counted(tensors, 'tensor')]),
  hiddenSize: t('Hidden size'),
  intermediateSize: t('Intermediate size'),
  heads: t('Attention heads'),
  headsValue: (heads: string, size: string | undefined) =>
    size === undefined ? heads : t('{0}, {1} wide', heads, size),
  groups: t('Key/value groups'),
  groupsValue: (groups: string, share: string | undefined) =>
    share === undefined ? groups : t('{0} ({1} each)', groups, counted(share, 'head')),
  context: t('Context'),
  tokens: (count: string) => counted(count, 'token'),
  slidingWindow: t('Sliding window'),
  vocabulary: t('Vocabulary'),
  head: t('LM head'),
  tiedHead: t('shares the embedding'),
  ownHead: t('its own weights'),
  experts: t('Experts'),
  expertsValue: (experts: string, active: string | undefined) =>
    active === undefined ? experts : t('{0}, {1} per token', experts, active),
  activation: t('Activation'),
  quantization: t('Quantization'),
  flopsPerToken: t('FLOPs per token'),
  kvPerToken: t('KV cache per token'),
  adapter: t('Adapter'),
  adapterOf: (base: string) => t('of {0}', base),
  warnings: (count: number) => counted(count, 'warning'),
  source: (by: ModelDescription['understood']['by']) => sources[by],
  notRunnable: (reason: string) => t('This model can’t be run here: {0}', reason),

  // Actions
  actions: t('Actions'),
  makeSmaller: t('Make Smaller…'),
  makeSmallerTitle: t('Choose where it will run and how small it should be'),
  openHeatmap: t('Open Layer Heatmap'),
  openHeatmapTitle: t('See which layers can be removed'),
  compare: t('Compare With…'),
  compareTitle: t('Choose another model and see what differs'),
  exportJson: t('Export JSON'),
  exportJsonTitle: t('Write everything that this panel shows to a file'),
  exportCsv: t('Export CSV'),
  exportCsvTitle: t('Write the list of tensors to a file'),
  exportMarkdown: t('Export Markdown'),
  exportMarkdownTitle: t('Show the sublayers as a Markdown report'),
  reload: t('Reload'),
  reloadTitle: t('Read the headers again'),

  // Tree
  tree: t('Structure'),
  treeLabel: t('Blocks, sublayers and tensors'),
  treeHint: t('Arrow keys move, open and close rows. Enter on a tensor reads its values.'),
  column: {
    name: t('Name'),
    dtype: t('Type'),
    shape: t('Shape'),
    parameters: t('Parameters'),
    bytes: t('Size'),
    flops: t('FLOPs per token'),
    kv: t('KV per token'),
  },
  search: t('Search by name, type or shape'),
  found: (shown: string, total: string) => t('{0} of {1}', shown, counted(total, 'tensor')),
  nothingFound: t('No tensor matches the search.'),
  expandAll: t('Expand All'),
  collapseAll: t('Collapse All'),
  kind: (kind: ComponentKind) => kinds[kind],
  total: t('Total'),
  unknown: '–',
  mixed: t('mixed'),

  // Data flow
  forms: t('View of the structure'),
  form: { table: t('Table'), diagram: t('Data Flow') },
  diagramLabel: t('Data flow of the model'),
  diagramControls: t('Zoom and folding'),
  diagramHint: t(
    'Click a box to see its tensors. + expands it and − collapses it, and so do Enter and a double click. Arrow keys move, Ctrl with the wheel zooms, dragging moves the diagram.',
  ),
  drawing: t('Drawing…'),
  noFlow: (reason: string) => t("The data flow can't be drawn. {0}", reason),
  flowSource: (source: 'architecture' | 'graph') =>
    source === 'graph' ? t('Taken from the graph.') : t('Drawn from the architecture.'),
  omitted: (count: string) =>
    t('Not shown: {0} that compute only shapes and masks.', counted(count, 'operator')),
  together: (count: string) => t('sum of {0}', counted(count, 'row')),
  times: (label: string, times: string) => listed([label, `× ${times}`]),
  zoomIn: t('Zoom in'),
  zoomOut: t('Zoom out'),
  fit: t('Fit'),
  fitTitle: t('Fit the diagram to the width of the panel'),
  foldAll: t('Collapse All'),
  foldAllTitle: t('Collapse all rows'),
  colors: t('Colors'),
  coloring: {
    importance: t('Importance'),
    drift: t('Drift'),
    values: t('Values of a file'),
  },
  difference: {
    model: t('only in this model'),
    against: t('only in the other model'),
    changed: t('different in the other model'),
  },
  diagramDifferences: t(
    'Both models in one diagram: + only in this model, − (dashed) only in the other, ≠ different.',
  ),
  showValues: t('Show Values…'),
  hideValues: t('Hide Values'),
  showValuesTitle: t('Show the values of a JSON file in the boxes that it names'),
  valuesLegend: (file: string, isLogarithmic: boolean) =>
    isLogarithmic ? t('Values of {0} (log scale)', file) : t('Values of {0}', file),
  valuesFound: (found: string, count: string) =>
    t('{0} boxes have one of the {1} values.', found, count),
  showDrift: t('Show Drift'),
  showDriftTitle: t(
    'Color the diagram by the drift of the model, or of the selection in its heatmap, from the original',
  ),
  driftLegend: t('Drift of hidden states (relative error, log scale)'),
  driftOf: (share: string) => t('drift {0}', share),
  importanceOf: (distance: string) => t('distance when removed {0}', distance),
  importanceLegend: (metric: string) => t('Distance when removed ({0}, log scale)', metric),
  importanceStale: t('The profile was made for other weights.'),
  cheap: t('cheap'),
  important: t('important'),

  // Details
  details: t('Details'),
  nothingChosen: t('Select a row to see its values.'),
  share: t('Share of the parameters'),
  file: t('File'),
  offset: t('First byte'),
  identifier: t('Identifier'),
  numberOfTensors: t('Tensors'),
  moreTensors: (count: string) => t('and {0} more', count),
  statistics: t('Statistics'),
  readNumbers: t('Read Values'),
  readNumbersTitle: t('Read this tensor from its file and compute statistics of its values'),
  readTooLarge: (size: string) => t('reads {0}', size),
  reading: (share: string) => t('Reading… {0}', share),
  statisticsOf: (name: string) => t('Statistics of {0}', name),
  statisticsKnown: (name: string) => t('Only the statistics of {0} are known.', name),
  statistic: {
    count: t('Values'),
    mean: t('Mean'),
    standardDeviation: t('Standard deviation'),
    min: t('Smallest'),
    max: t('Largest'),
    zeros: t('Zeros'),
    nan: t('NaN'),
    infinite: t('Infinite'),
  },
  countOf: (count: string, share: string) => `${count} (${share})`,
  histogram: t('Histogram'),
  noHistogram: t('No histogram: all values are equal, or not finite.'),
  numbers: t('Values'),
  logarithmic: t('Log scale'),

  // Composition
  composition: t('Composition'),
  compositionSummary: (parts: string) => t('Bar chart of the parameters by kind: {0}.', parts),
  compositionPart: (kind: string, share: string) => `${kind} ${share}`,
  kindColumn: t('Kind'),
  shareColumn: t('Share'),
  tensorsColumn: t('Tensors'),

  // Memory
  memory: t('Memory'),
  memoryCaption: t('Memory of the weights by type'),
  memoryNote: t('All weights stored as one type. The scales of quantized weights are not counted.'),
  stored: t('as stored'),
  typeColumn: t('Type'),
  cache: t('Key/value cache'),
  cacheCaption: t('Memory of the key/value cache by type'),
  cacheNote: (context: string | undefined) =>
    context === undefined
      ? t('Per sequence.')
      : t(
          'Per sequence, up to the full context of {0} tokens. Sliding windows need less.',
          context,
        ),
  perThousand: t('Per 1,000 tokens'),
  fullContext: t('Full context'),
  noCache: t("The headers don't define the size of the cache per token."),
  tuning: t('Memory to train'),
  tuningCaption: t('Estimated memory for training'),
  tuningNote: t(
    'Without activations, which grow with batch size and context. Adam takes 16 bytes per trained parameter. LoRA is applied to all linear layers of the blocks.',
  ),
  method: t('Method'),
  fullTuning: t('All weights, Adam'),
  lora: (rank: number) => t('LoRA, rank {0}', rank),
  trained: t('Trained'),
  frozen16: t('Frozen, bfloat16'),
  frozen4: t('Frozen, 4 bits'),

  // Lists
  files: t('Weight files'),
  sideFiles: t('Side files'),
  noSideFiles: t('No other files next to the weights.'),
  role: (role: SideFile['role']) => roles[role],
  fileColumn: t('File'),
  roleColumn: t('Purpose'),
  contentColumn: t('Content'),
  openFile: (name: string) => t('Open {0}', name),
  metadata: t('Metadata'),
  config: t('Configuration'),
  graph: t('Graph'),
  inputs: t('Inputs'),
  outputs: t('Outputs'),
  operators: t('Operators'),
  opsets: t('Operator sets'),
  keyColumn: t('Key'),
  valueColumn: t('Value'),
  countColumn: t('Count'),
  empty: t('empty'),

  // Comparison
  comparison: (name: string) => t('Compared with {0}', name),
  comparing: (name: string) => t('Comparing with {0}', name),
  comparingWeights: (name: string, share: string) =>
    t('Comparing the weights with {0}: {1}', name, share),
  comparisonFailed: (message: string) => t('The comparison failed: {0}', message),
  compareWeights: t('Compare Weights'),
  writeReport: t('Write Report…'),
  compareWeightsTitle: t('Read every tensor that both models have, and measure the difference'),
  close: t('Close'),
  cancel: t('Cancel'),
  property: t('Property'),
  family: t('Family'),
  format: t('Format'),
  blocks: t('Blocks'),
  sameForms: (count: string) => t('Same name, type and shape: {0}.', counted(count, 'tensor')),
  onlyIn: (name: string, count: string) => t('Only in {0} ({1})', name, count),
  otherForms: (count: string) => t('Other type or shape ({0})', count),
  changedConfig: (count: string) => t('Configuration ({0})', count),
  changedMetadata: (count: string) => t('Metadata ({0})', count),
  changedWeights: (count: string, of: string) =>
    t('Different weights: {0} of {1}', count, counted(of, 'tensor')),
  notCompared: (count: string) => t('Not compared ({0})', count),
  reason: t('Reason'),
  maxAbsolute: t('Largest difference'),
  relativeFrobenius: t('Relative (Frobenius)'),
  cosine: t('Cosine'),
  weightsEqual: t('All compared tensors have the same values.'),
} as const;
