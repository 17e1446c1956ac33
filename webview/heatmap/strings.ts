import { formatBlocks } from '../blocks';
import type { BlockCounts } from '../blocks';
import { counted } from '../counted';
import { ends } from '../strings';
import type { BaselineName, Mark, SublayerKind } from './types';
import { listed, t } from '../translate';

const kinds: Readonly<Record<SublayerKind, string>> = {
  attention: t('Attention'),
  'cross-attention': t('Cross-attention'),
  mixer: t('SSM or linear attention'),
  feedforward: t('MLP'),
  convolution: t('Convolution'),
  expert: t('Experts'),
  parallel: t('Parallel branches'),
  patch: t('Graph module'),
  other: t('Other'),
};

const baselines: Readonly<Record<BaselineName, string>> = {
  'one-shot': t('One-shot'),
  reverse: t('Reverse order'),
  random: t('Random'),
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: t('Loading the model…'),

  // Header
  details: t('Details'),
  parameters: t('Parameters'),
  size: t('Size'),
  structure: t('Structure'),
  structureValue: (model: BlockCounts, sublayers: string) =>
    listed([formatBlocks(model), counted(sublayers, 'sublayer')]),
  hiddenSize: t('Hidden size'),
  calibration: t('Calibration'),
  severalTexts: (count: number) => t('{0} texts', count),
  stability: t('Agreement of texts'),
  stabilityValue: (mean: string, least: string) =>
    mean === least
      ? t('rank correlation {0}', mean)
      : t('rank correlation {0}, at least {1}', mean, least),
  stabilityTitle: (removals: number, common: number, texts: readonly string[]) =>
    t(
      'Agreement of the importance ranking between texts, or between parts of the text (Spearman, mean over pairs). Least important on all of them: {1} of {0}. Each sublayer was measured on:\n{2}',
      removals,
      common,
      texts.join('\n'),
    ),
  distanceAfter: (removals: string, distance: string) =>
    t('distance {1} after {0}', removals, distance),
  partOfText: (part: number, parts: number) => t('part {0} of {1}', part, parts),
  bundledText: t('bundled text'),
  calibrationValue: (sequences: string, length: string, source: string) =>
    length === '1'
      ? listed([counted(sequences, 'example'), source])
      : t('{0} × {1} tokens, {2}', sequences, length, source),
  calibrationTitle: (source: string, tokens: string, fingerprint: string) =>
    t('{0}\n{1} tokens\nSHA-256 {2}', source, tokens, fingerprint),
  calibrationChoice: (policy: string, windows: string, scores: string) =>
    t('selected by EL2N ({0}) from {1}, scored in {2}', policy, counted(windows, 'window'), scores),
  metric: t('Metric'),
  search: t('Search'),
  searchValue: (mode: string, duration: string) => listed([mode, duration]),
  refinedMode: (mode: string, method: string) => t('{0}, refined by {1}', mode, method),
  searchTitle: (done: string, naive: string, share: string) =>
    t(
      '{0} sublayer evaluations; running the full model for every candidate takes {1} ({2})',
      done,
      naive,
      share,
    ),
  device: t('Device'),
  profileFile: t('Profile'),
  warnings: (count: number) => counted(count, 'warning'),

  // Actions
  actions: t('Actions'),
  profile: t('Profile'),
  prune: t('Prune…'),
  makeSmaller: t('Make Smaller…'),
  makeSmallerTitle: t('Quantize the original: choose where it will run and how small it becomes'),
  measure: t('Measure'),
  showDrift: t('Show Drift'),
  savePlan: t('Save Plan'),
  compression: t('Open Compression Panel'),
  compressionTitle: t('Measure the loss of compressing each linear layer, and plan under a budget'),
  openConfig: t('Open config.json'),
  profileTitle: t('Measure the loss of removing each sublayer, and find the order of removal'),
  pruneTitle: t('Write a new model without the removed sublayers'),
  showDriftTitle: t(
    'Color the heatmap by the drift of the selection from the original. Without a selection: by the drift of a model that Espalier wrote from its original',
  ),
  measureTitle: t('Measure the perplexity of the selection on held-out text'),
  savePlanTitle: t('Write the selection to a plan, which you can edit'),
  reasonActive: (job: string, kind: 'queued' | 'running') =>
    kind === 'queued' ? t('{0} is queued', job) : t('{0} is running', job),
  reasonNothingSelected: t('No sublayer is marked for removal or width pruning yet'),

  // Job
  jobProgress: (job: string) => t('Progress: {0}', job),
  starting: (job: string) => t('{0} is starting', job),
  stopped: (job: string, reason: keyof typeof ends) => `${job} ${ends[reason]}`,
  finished: (job: string) => t('{0} has finished.', job),

  // Empty state
  empty: t('Profile the layers to see which sublayers can be removed.'),
  emptyDetail: t(
    "Each sublayer, such as attention or MLP, is left out in turn, and the change of the output is measured on calibration text. The model isn't modified.",
  ),

  // Heatmap
  heatmap: t('Layer heatmap'),
  block: t('Block'),
  kind: (kind: SublayerKind) => kinds[kind],
  expertNumber: (expert: number) => t('Expert {0}', expert),
  gridHint: t(
    'Point at a cell to see its numbers. Click it to change its mark: kept, removed, protected. Keyboard: arrow keys to move, Enter or Space to remove, P to protect.',
  ),
  noSublayer: t('No sublayer'),
  removedEarlier: t('removed earlier'),
  cheap: t('cheap to remove'),
  important: t('important'),
  legendDistance: (metric: string) => t('Distance to the original ({0}, log scale)', metric),
  lowValue: t('low'),
  highValue: t('high'),
  driftDefinition: (positions: string) =>
    t(
      '‖h′ − h‖ / ‖h‖ after each sublayer, root mean square over {0}',
      counted(positions, 'position'),
    ),
  colors: t('Colors'),
  importance: t('Importance'),
  legendPreview: t('Preview: 1 − cos(x, x + f(x)) of each sublayer alone (log scale)'),
  legendNothing: t('No distances yet'),
  legendRemoved: t('removed, in this order'),
  legendPatched: t('replaced by a graph module'),
  legendWidthPruned: t('pruned width: the bar shows the remaining share'),
  legendProtected: t('protected'),
  legendDepends: t('rank depends on the calibration text'),
  legendPreviewCell: t('preview by local cosine'),
  legendPending: t('not measured yet'),
  legendExcluded: t('not part of the search'),

  // Cells
  distance: t('Distance'),
  preview: t('Preview'),
  rank: t('Rank'),
  rankValue: (rank: string, of: string) => t('{0} of {1}', rank, of),
  bytes: t('Size'),
  sharedWeights: t('Shared parameters'),
  sharedTitle: t("Shared with other sublayers: removing this one doesn't free them"),
  flopsPerToken: t('FLOPs per token'),
  kvBytesPerToken: t('KV cache per token'),
  places: t('Rank by text'),
  placesValue: (best: string, worst: string) => t('{0} to {1}', best, worst),
  dependsOnText: t('depends on the text'),
  round: t('Removed in round'),
  mark: t('Mark'),
  notYet: '–',
  atLeast: (distance: string) => `≥ ${distance}`,
  previewOnly: (distance: string) => t('{0} (local cosine)', distance),
  markName: (mark: Mark, order: number | undefined) =>
    mark === 'keep'
      ? t('kept')
      : mark === 'protected'
        ? t('protected')
        : t('removed, number {0}', order ?? 1),
  markButton: (mark: Mark, order: number | undefined) =>
    mark === 'keep'
      ? t('Kept')
      : mark === 'protected'
        ? t('Protected')
        : t('Removed {0}', order ?? 1),
  markButtonLabel: (text: string, id: string) => t('{0}: {1}. Change mark', text, id),
  nextMark: {
    keep: t('Click to remove'),
    removed: t('Click to protect, right-click to patch'),
    protected: t('Click to keep'),
  },
  cellLabel: (kind: string, block: number, facts: readonly string[]) =>
    t('{0}, block {1}: {2}', kind, block, listed(facts)),
  drift: t('Drift'),
  driftValue: (share: string, cosine: string) => t('{0}, cosine {1}', share, cosine),
  driftWorst: t('Largest drift'),
  driftAt: (share: string, position: string) => t('{0} at position {1}', share, position),
  driftAtToken: (share: string, token: string, position: string) =>
    t('{0} at {1}, token {2}', share, token, position),
  factDistance: (distance: string) => t('distance {0}', distance),
  factRank: (rank: string, of: string) => t('rank {0} of {1}', rank, of),
  factPreview: (distance: string) => t('preview {0}', distance),
  graphSize: (nodes: number, edges: number) =>
    t('a graph of {0} and {1}', counted(nodes, 'node'), counted(edges, 'edge')),
  factPatch: (isPlanned: boolean, size: string) =>
    listed([
      isPlanned ? t('planned graph module') : t('graph module'),
      ...(size === '' ? [] : [size]),
    ]),
  width: t('Width'),
  kept: {
    channels: (kept: string, count: string, share: string) =>
      t('{0} of {1} channels ({2})', kept, count, share),
    groups: (kept: string, count: string, share: string) =>
      t('{0} of {1} key/value heads ({2})', kept, count, share),
    experts: (kept: string, count: string, share: string) =>
      t('{0} of {1} experts ({2})', kept, count, share),
  },
  factWidthPruned: (kept: string) => t('width {0}', kept),
  becomes: (before: string, after: string) => `${before} → ${after}`,
  patchTooltip: (program: string) => t('Graph module: {0}', program),
  patch: t('Graph module'),
  patchPlanned: (parameters: string | undefined) =>
    parameters === undefined
      ? t(
          "Prune… replaces this sublayer with the graph module. The numbers shown don't include it.",
        )
      : t(
          "Prune… replaces this sublayer with the graph module ({0} parameters). The numbers shown don't include it.",
          parameters,
        ),
  patchInModel: t('It replaces a sublayer that was removed.'),
  marked: (id: string, mark: string) => t('{0} is {1}', id, mark),
  lockedFirst: (id: string) => t('{0} is protected. Press P to remove the protection first.', id),

  // Answer
  answer: t('Result of the selection'),
  nextStep: t('Next step'),
  changeFrom: (before: string, change: string) => t('of {0}, {1}', before, change),
  quantized: (type: string, size: string, change: string, loss: string) =>
    t('Quantized to {0} instead: {1} ({2}), {3}', type, size, change, loss),
  perplexityMeasured: (change: string) => t('perplexity {0} (measured)', change),

  // Slider
  selectedSize: t('Size of the selection'),
  blocksRemoved: t('Blocks removed'),
  byHand: (marks: string) => t('{0} by hand', marks),
  clearMarks: t('Clear Marks'),
  clearMarksTitle: t('Undo all marks that were set by hand'),
  changed: {
    clearMarks: t('Marks cleared'),
    undo: t('Undone'),
    redo: t('Redone'),
  },
  roundsValue: (rounds: string, of: string) => t('{0} of {1}', rounds, of),
  sliderText: (rounds: number, of: number, units: string, parameters: string) =>
    t('{0} of {1} rounds, {2} and {3} of the parameters removed', rounds, of, units, parameters),
  units: (sublayers: number, experts: number) =>
    [counted(sublayers, 'sublayer'), ...(experts === 0 ? [] : [counted(experts, 'expert')])].join(
      ', ',
    ),
  editedByHand: t('edited by hand'),
  ofEarlierProfile: t('of an earlier profile'),
  removal: t('Savings'),
  noRounds: t('Available after the first round of the search.'),
  sublayersRemoved: t('Sublayers removed'),
  expertsRemoved: t('Experts removed'),
  sublayersWidthPruned: t('Sublayers with pruned width'),
  keepWidths: t('Keep Full Widths'),
  keepWidthsTitle: t('Undo all width pruning; sublayers that are marked for removal remain marked'),
  ofTotal: (total: string) => t('of {0}', total),
  parametersSaved: t('Parameters saved'),
  bytesSaved: t('Size saved'),
  kvSaved: t('KV cache saved'),
  memorySaved: t('Memory saved'),
  withContext: (tokens: string, share: string) => t('with {0} tokens, {1}', tokens, share),
  noCache: t('no KV cache'),
  noPerplexity: t('not available'),
  perToken: (share: string) => t('per token, {0}', share),
  notMeasured: t('not measured'),
  expected: t('expected, not measured'),
  perplexity: t('Perplexity'),
  perplexityOriginal: (original: string) => t('original {0}', original),
  firstTokens: (count: string) => t('first {0} tokens', count),
  perplexityChange: (original: string, change: string) => t('original {0}, {1}', original, change),
  originalModel: t('original'),

  // Chart
  curve: t('Quality against size'),
  axis: t('Horizontal axis'),
  axisName: {
    sublayers: t('Sublayers removed'),
    parameters: t('Parameters removed'),
    bytes: t('Bytes removed'),
  },
  logarithmic: t('Log scale'),
  series: t('Series shown'),
  greedy: t('Greedy search'),
  baseline: (name: BaselineName) => baselines[name],
  perplexitySeries: t('Perplexity (held-out)'),
  curveWaiting: t('The curve appears after the first round of the search.'),
  curveSummary: (rounds: number, first: string, last: string, removed: string) =>
    t(
      'Line chart of the distance to the original over {0} of the greedy search: {1} after the first round, {2} after the last, with {3} removed.',
      counted(rounds, 'round'),
      first,
      last,
      removed,
    ),
  curveSummaryBaseline: (name: string, last: string) => t('{0} ends at {1}.', name, last),
  curveSummaryPerplexity: (first: string, last: string) =>
    t('Held-out perplexity: {0} → {1}.', first, last),
  curveSummarySelection: (rounds: number) => t('Round {0} is selected.', rounds),
  curveTable: t('Values of the chart'),
  tooltipRound: (rounds: number) => (rounds === 1 ? t('Round 1') : t('Round {0}', rounds)),
  roundColumn: t('Round'),
  removedColumn: t('Removed'),

  // Table
  table: t('Sublayers'),
  tableRegion: t('Table of sublayers'),
  tableCaption: t('Sublayers of the model with their distances, sizes and marks'),
  column: {
    sublayer: t('Sublayer'),
    kind: t('Kind'),
    block: t('Block'),
    distance: t('Distance'),
    rank: t('Rank'),
    width: t('Width'),
    parameters: t('Parameters'),
    bytes: t('Size'),
    mark: t('Mark'),
  },
  filterText: t('Filter by name'),
  filterKind: t('Kind'),
  filterMark: t('Mark'),
  allKinds: t('All kinds'),
  allMarks: t('All marks'),
  markFilter: { keep: t('Kept'), removed: t('Removed'), protected: t('Protected') },
  rowsShown: (shown: number, total: number) =>
    shown === total ? `${total}` : t('{0} of {1}', shown, total),
  noRows: t('No sublayer matches the filter.'),

  // Preview of config.json
  config: t('Changes to config.json'),
  header: t('Changes to the file header'),
  configLines: t('Lines of config.json'),
  configCounts: (added: number, removed: number) => `+${added} −${removed}`,
  configCountsLabel: (added: number, removed: number) =>
    t('{0} added, {1} removed', counted(added, 'line'), counted(removed, 'line')),
  configSame: t('No changes: no sublayer is marked for removal or width pruning.'),
  loadsWith: t('Loads with'),
  unchangedLines: (count: number) => t('{0} unchanged lines', count),
  lineAdded: t('added'),
  lineRemoved: t('removed'),
} as const;
