import { counted } from '../counted';
import { ends } from '../strings';
import type { BaselineName, JobName, Mark, SublayerKind } from './types';

const jobNames: Readonly<Record<JobName, string>> = {
  profile: 'Profiling',
  prune: 'Pruning',
  evaluate: 'Evaluation',
  patch: 'Patching',
};

const kinds: Readonly<Record<SublayerKind, string>> = {
  attention: 'Attention',
  'cross-attention': 'Cross-attention',
  feedforward: 'Feed-forward',
  convolution: 'Convolution',
  expert: 'Experts',
  parallel: 'Parallel branches',
  patch: 'Symbolic patch',
  other: 'Other',
};

const baselines: Readonly<Record<BaselineName, string>> = {
  'one-shot': 'One-shot',
  reverse: 'Reverse order',
  random: 'Random',
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: 'Loading the model…',

  // Header
  parameters: 'Parameters',
  size: 'Size',
  structure: 'Structure',
  structureValue: (blocks: string, sublayers: string) =>
    `${counted(blocks, 'block')}, ${counted(sublayers, 'sublayer')}`,
  hiddenSize: 'Hidden size',
  calibration: 'Calibration',
  bundledText: 'bundled text',
  calibrationValue: (sequences: string, length: string, source: string) =>
    length === '1'
      ? `${counted(sequences, 'example')}, ${source}`
      : `${sequences} × ${length} tokens, ${source}`,
  calibrationTitle: (source: string, tokens: string, fingerprint: string) =>
    `${source}\n${tokens} tokens\nSHA-256 ${fingerprint}`,
  calibrationChoice: (policy: string, windows: string, scores: string) =>
    `chosen by EL2N (${policy}) among ${counted(windows, 'window')}, scored in ${scores}`,
  metric: 'Metric',
  search: 'Search',
  searchValue: (mode: string, duration: string) => `${mode}, ${duration}`,
  searchTitle: (done: string, naive: string, share: string) =>
    `${done} sublayer evaluations; running the whole model for every candidate takes ${naive} (${share})`,
  device: 'Device',
  profileFile: 'Profile',
  warnings: (count: number) => counted(count, 'warning'),

  // Actions
  actions: 'Actions',
  profile: 'Profile',
  prune: 'Prune…',
  evaluate: 'Evaluate',
  savePlan: 'Save Plan',
  compression: 'Compression',
  compressionTitle: 'See what compressing each linear layer costs, and plan under a budget',
  openConfig: 'Open config.json',
  profileTitle: 'Measure what removing each sublayer costs, and find the order of removal',
  pruneTitle: 'Write a new model without the removed sublayers',
  evaluateTitle: 'Measure the perplexity of the selection on held-out text',
  savePlanTitle: 'Write the selection to a plan, which you can edit',
  reasonActive: (job: JobName, kind: 'queued' | 'running') => `${jobNames[job]} is ${kind}`,
  reasonNothingSelected: 'No sublayer is marked for removal yet',

  // Job
  jobProgress: (job: JobName) => `Progress: ${jobNames[job]}`,
  starting: (job: JobName) => `${jobNames[job]} is starting`,
  stopped: (job: JobName, reason: keyof typeof ends) => `${jobNames[job]} ${ends[reason]}`,
  finished: (job: JobName) => `${jobNames[job]} has finished.`,

  // Empty state
  empty: 'Profile the layers to see which sublayers this model can do without.',
  emptyDetail:
    'Each sublayer, such as attention or feed-forward, is left out in turn, and the change in the output is measured on calibration data. The model stays as it is.',

  // Heatmap
  heatmap: 'Layer heatmap',
  block: 'Block',
  blockNumber: (block: number) => `Block ${block}`,
  kind: (kind: SublayerKind) => kinds[kind],
  expertNumber: (expert: number) => `Expert ${expert}`,
  gridHint:
    'Point at a cell to see its numbers. Click it to change its mark: kept, removed, protected. Keyboard: arrow keys to move, Enter or Space to remove, P to protect.',
  noSublayer: 'No sublayer',
  cheap: 'cheap to remove',
  important: 'important',
  legendDistance: (metric: string) => `Distance to the original (${metric}, log scale)`,
  legendPreview: 'Preview: 1 − cos(x, x + f(x)) of each sublayer alone (log scale)',
  legendNothing: 'No distances yet',
  legendRemoved: 'removed, in this order',
  legendPatched: 'replaced by a symbolic patch',
  legendProtected: 'protected',
  legendPreviewCell: 'preview by local cosine',
  legendPending: 'not measured yet',
  legendExcluded: 'not part of this search',

  // Cells
  distance: 'Distance',
  preview: 'Preview',
  rank: 'Rank',
  rankValue: (rank: string, of: string) => `${rank} of ${of}`,
  bytes: 'Bytes',
  flopsPerToken: 'FLOPs per token',
  kvBytesPerToken: 'KV cache per token',
  round: 'Removed in round',
  mark: 'Mark',
  notYet: '–',
  plusMinus: (distance: string, error: string) => `${distance} ± ${error}`,
  atLeast: (distance: string) => `≥ ${distance}`,
  previewOnly: (distance: string) => `${distance} (local cosine)`,
  markName: (mark: Mark, order: number | undefined) =>
    mark === 'keep' ? 'kept' : mark === 'protected' ? 'protected' : `removed, number ${order ?? 1}`,
  markButton: (mark: Mark, order: number | undefined) =>
    mark === 'keep' ? 'Kept' : mark === 'protected' ? 'Protected' : `Removed ${order ?? 1}`,
  markButtonLabel: (text: string, id: string) => `${text}: ${id}. Change mark`,
  nextMark: {
    keep: 'Click to remove',
    removed: 'Click to protect, right-click to patch',
    protected: 'Click to keep',
  },
  cellLabel: (kind: string, block: number, facts: readonly string[]) =>
    `${kind}, block ${block}: ${facts.join(', ')}`,
  factDistance: (distance: string) => `distance ${distance}`,
  factRank: (rank: string) => `rank ${rank}`,
  factPreview: (distance: string) => `preview ${distance}`,
  graphSize: (nodes: number, edges: number) =>
    `a graph of ${counted(nodes, 'node')} and ${counted(edges, 'edge')}`,
  factPatch: (isPlanned: boolean, size: string) =>
    `${isPlanned ? 'planned symbolic patch' : 'symbolic patch'}${size === '' ? '' : `, ${size}`}`,
  patchTooltip: (program: string) => `Symbolic patch: ${program}`,
  patch: 'Symbolic patch',
  patchPlanned: (parameters: string | undefined) =>
    parameters === undefined
      ? 'Prune… replaces this sublayer with it. All numbers here are without it.'
      : `Prune… replaces this sublayer with it (${parameters} parameters). All numbers here are without it.`,
  patchInModel: 'It replaces a sublayer that was removed.',
  marked: (id: string, mark: string) => `${id} is ${mark}`,
  lockedFirst: (id: string) => `${id} is protected. Press P to unlock it first.`,

  // Slider
  budget: 'What to remove',
  rounds: 'Rounds of the search',
  roundsValue: (rounds: string, of: string) => `${rounds} of ${of}`,
  sliderText: (rounds: number, of: number, units: string, parameters: string) =>
    `${rounds} of ${of} rounds, ${units} and ${parameters} of the parameters removed`,
  units: (sublayers: number, experts: number) =>
    [counted(sublayers, 'sublayer'), ...(experts === 0 ? [] : [counted(experts, 'expert')])].join(
      ', ',
    ),
  editedByHand: 'edited by hand',
  ofEarlierProfile: 'of an earlier profile',
  noRounds: 'You can choose after the first round of the search.',
  sublayersRemoved: 'Sublayers removed',
  expertsRemoved: 'Experts removed',
  ofTotal: (total: string) => `of ${total}`,
  parametersSaved: 'Parameters saved',
  bytesSaved: 'Size saved',
  kvSaved: 'KV cache saved',
  noCache: 'no KV cache',
  noPerplexity: 'not available',
  perToken: (share: string) => `per token, ${share}`,
  notMeasured: 'not measured',
  perplexity: 'Perplexity',
  perplexityOriginal: (original: string) => `original ${original}`,
  perplexityChange: (original: string, change: string) => `original ${original}, ${change}`,
  notEvaluated: 'not evaluated',
  originalModel: 'original',

  // Chart
  curve: 'Quality against size',
  axis: 'Horizontal axis',
  axisName: {
    sublayers: 'Sublayers removed',
    parameters: 'Parameters removed',
    bytes: 'Bytes removed',
  },
  logarithmic: 'Log scale',
  series: 'Series shown',
  greedy: 'Greedy search',
  predicted: 'Predicted',
  baseline: (name: BaselineName) => baselines[name],
  perplexitySeries: 'Perplexity (held-out)',
  curveWaiting: 'The curve appears after the first round of the search.',
  curveSummary: (rounds: number, first: string, last: string, removed: string) =>
    `Line chart of the distance to the original over ${counted(rounds, 'round')} of the greedy search: ${first} after the first round, ${last} after the last, with ${removed} removed.`,
  curveSummaryBaseline: (name: string, last: string) => `${name} ends at ${last}.`,
  curveSummaryPerplexity: (first: string, last: string) =>
    `Held-out perplexity goes from ${first} to ${last}.`,
  curveSummarySelection: (rounds: number) => `Round ${rounds} is selected.`,
  curveTable: 'Numbers of the chart',
  tooltipRound: (rounds: number) => (rounds === 1 ? 'Round 1' : `Round ${rounds}`),
  roundColumn: 'Round',
  removedColumn: 'Removed',

  // Table
  table: 'Sublayers',
  tableRegion: 'Table of sublayers',
  tableCaption: 'Sublayers of the model with their distances, sizes and marks',
  column: {
    sublayer: 'Sublayer',
    kind: 'Kind',
    block: 'Block',
    distance: 'Distance',
    rank: 'Rank',
    parameters: 'Parameters',
    bytes: 'Bytes',
    mark: 'Mark',
  },
  filterText: 'Filter by name',
  filterKind: 'Kind',
  filterMark: 'Mark',
  allKinds: 'All kinds',
  allMarks: 'All marks',
  markFilter: { keep: 'Kept', removed: 'Removed', protected: 'Protected' },
  rowsShown: (shown: number, total: number) =>
    shown === total ? `${total}` : `${shown} of ${total}`,
  noRows: 'No sublayer matches the filter.',

  // Preview of config.json
  config: 'Changes to config.json',
  header: 'Changes to the file header',
  configLines: 'Lines of config.json',
  configCounts: (added: number, removed: number) => `+${added} −${removed}`,
  configCountsLabel: (added: number, removed: number) =>
    `${counted(added, 'line')} added, ${counted(removed, 'line')} removed`,
  configSame: 'No changes: no sublayer is marked for removal.',
  loadsWith: 'Loads with',
  unchangedLines: (count: number) => `${count} unchanged lines`,
  lineAdded: 'added',
  lineRemoved: 'removed',
} as const;
