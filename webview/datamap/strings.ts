import { counted } from '../counted';
import type { GalleryQuery, policies } from '../../extension/protocol/datamap';
import { t } from '../translate';

const scoreNames: Readonly<Record<string, string>> = {
  el2n: t('EL2N'),
  grand: t('GraNd'),
  forgetting: t('Forgetting'),
  margin: t('Margin'),
};

const orderNames: Readonly<Record<GalleryQuery['order'], string>> = {
  hardest: t('Hardest first'),
  easiest: t('Easiest first'),
  ambiguous: t('Most variable first'),
  suspicious: t('Least probable label first'),
  duplicates: t('Largest groups of duplicates first'),
  outlying: t('Farthest from others first'),
  stored: t('As stored'),
};

const policyNames: Readonly<Record<(typeof policies)[number], string>> = {
  max: t('Hardest (max)'),
  window: t('Hardest after a window (window)'),
  random: t('Random, as a baseline (random)'),
};

const issueNames: Readonly<Record<NonNullable<GalleryQuery['issue']>, string>> = {
  suspected: t('Suspected labels'),
  duplicates: t('Duplicates'),
  outliers: t('Outliers'),
};

const issueTitles: Readonly<Record<NonNullable<GalleryQuery['issue']>, string>> = {
  suspected: t(
    'Labels that are probably wrong (confident learning): the models predict another class, as confidently as for examples of that class',
  ),
  duplicates: t('Exact or near duplicates of an earlier example'),
  outliers: t('Examples that are much farther from their nearest neighbors than others'),
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: t('Reading the scores and their dataset…'),
  failed: t('Can’t show these scores'),
  tryAgain: t('Try Again'),

  withoutData: t('Select Choose Dataset… to see the examples.'),

  // Header
  actions: t('Actions'),
  exportSubset: t('Export Subset…'),
  exportTitle: t('Write the subset, the marked examples, or the scores for another tool'),
  chooseData: t('Choose Dataset…'),
  chooseDataTitle: t('Choose the dataset that was scored'),
  reload: t('Reload'),
  reloadTitle: t('Read the scores and the dataset again'),
  openText: t('Open as Text'),
  openTextTitle: t('Open the scores in the text editor'),
  scoreName: (score: string) => scoreNames[score] ?? score,
  examples: t('Examples'),
  classes: t('Classes'),
  model: t('Proxy model'),
  epoch: t('Scored at'),
  epochValue: (epoch: number) =>
    epoch === 0 ? t('initialization') : epoch === 1 ? t('epoch 1') : t('epoch {0}', epoch),
  runs: t('Runs'),
  agreement: t('Agreement of runs'),
  agreementValue: (rho: string) => t('Spearman {0}', rho),
  agreementNone: t('unknown for one run'),
  agreementTitle: t(
    'Mean rank correlation of the scores over all pairs of runs; 1 if the orders are equal',
  ),
  seconds: t('Scoring took'),
  issueName: issueNames,
  issueTitle: issueTitles,
  noise: t('Flipped labels'),
  notes: t('Notes'),

  // Export
  exportLine: t('Export'),
  exportProgress: t('Progress of the export'),
  exportStarting: t('The export is starting'),
  exportRunning: t('The export is running'),
  exportStopped: {
    cancelled: t('The export was canceled. Nothing was written.'),
    failed: t('The export failed.'),
    crashed: t('The export stopped.'),
    closed: t('The export was interrupted.'),
  },

  // Charts
  histogram: t('Scores'),
  histogramLabel: (score: string, summary: string) => t('{0} of all examples. {1}', score, summary),
  infinite: (count: number, text: string) =>
    count === 1
      ? t('One example was never learned: its score is infinite.')
      : t('{0} examples were never learned: their score is infinite.', text),
  noFinite: t('No example has a finite score.'),
  map: t('Confidence and variability'),
  mapChoice: t('Map'),
  embedding: t('Embedding'),
  embeddingNone: t(
    'No embedding: score the dataset again to see near-duplicates, outliers and a map of the examples.',
  ),
  embeddingNote: (layer: string, layout: string) => t('{0}, drawn by {1}.', layer, layout),
  layoutName: { umap: 'UMAP', pca: 'PCA' },
  embeddingSummary: (parts: string) => t('Map of the embedding: {0}.', parts),
  embeddingTable: t('Groups of the embedding'),
  axis: (layout: string, number: string) => t('{0} {1}', layout, number),
  colorBy: t('Color by'),
  colorName: { label: t('Class'), score: t('Score'), issue: t('Issue') },
  fifths: [
    t('lowest fifth of scores'),
    t('second fifth'),
    t('middle fifth'),
    t('fourth fifth'),
    t('highest fifth, or never learned'),
  ],
  noIssue: t('no issue'),
  otherClasses: t('other classes'),
  mapSummary: (parts: string) => t('Map of confidence and variability: {0}.', parts),
  mapSampled: (drawn: string, all: string) =>
    t('Shows {0} of {1}, chosen at random.', drawn, counted(all, 'example')),
  mapNone: t('No map: these scores don’t include training dynamics.'),
  mapOneEpoch: t('With few runs and epochs, variability is unreliable.'),
  mapTable: t('Groups of the map'),
  group: t('Predicted label'),
  groupName: t('Group'),
  confidence: t('Confidence'),
  variability: t('Variability'),
  meanConfidence: t('Mean confidence'),
  meanVariability: t('Mean variability'),
  correctness: {
    rarely: t('rarely right (below ⅓)'),
    sometimes: t('sometimes right'),
    mostly: t('mostly right (from ⅔)'),
  },
  share: t('Share'),
  point: (index: string) => t('Example {0}', index),
  mapHint: t(
    'Click a point to go to its example, or draw a rectangle to show the examples in it. Keyboard: arrow keys to move, Enter to go to the example, Shift+Enter to show the examples around it, Escape to come back.',
  ),
  visited: (point: string, group: string, confidence: string, variability: string) =>
    t('{0}: {1}, confidence {2}, variability {3}', point, group, confidence, variability),

  // Experiments
  experiment: t('Accuracy against share kept'),
  experimentNone: t(
    'No experiment with this dataset yet. Compare Subsets… trains small models on chosen, random and all examples.',
  ),
  compare: t('Compare Subsets…'),
  compareTitle: t('Train on several subsets and measure the accuracy of each'),
  experimentIso: (iso: string, seeds: number, file: string) =>
    t(
      '{0}: each subset is trained for the same number of {1} as all examples, with {2}.',
      file,
      iso,
      counted(seeds, 'seed'),
    ),
  experimentSummary: (file: string, series: string) => t('Line chart of {0}: {1}.', file, series),
  seriesName: (name: string) => (name === 'full' ? t('all examples') : name),
  kept: t('Kept'),
  accuracy: t('Test accuracy'),
  trainedOn: t('Trained on'),
  behind: (offset: string) => t('after the hardest {0}', offset),
  experimentTable: t('Values of the experiment'),

  // Label issues
  labelIssues: t('Label issues per class'),
  mostSuspected: (shown: string, all: string) =>
    t('The {0} classes with the most suspected labels, of {1}', shown, all),
  confused: t('Most often predicted instead'),
  confusedValue: (name: string, times: string) => t('{0} ({1})', name, times),
  showSuspects: (name: string) => t('Show suspected labels of {0}', name),
  showConfused: (name: string, other: string) =>
    t('Show suspected labels of {0} that are predicted as {1}', name, other),

  // Subset
  subset: t('What to keep'),
  policy: t('Policy'),
  policyName: policyNames,
  keep: t('Share kept'),
  offset: t('Without the hardest'),
  balanced: t('Same share of every class'),
  leaveOut: t('Leave out marked examples'),
  leaveOutIssue: {
    suspected: (count: string) => t('Leave out suspected labels ({0})', count),
    duplicates: (count: string) => t('Leave out duplicates but the first ({0})', count),
    outliers: (count: string) => t('Leave out outliers ({0})', count),
  },
  counted: (kept: string, all: string, share: string) =>
    kept === '1'
      ? t('1 of {0} is kept ({1}).', counted(all, 'example'), share)
      : t('{0} of {1} are kept ({2}).', kept, counted(all, 'example'), share),
  warning: {
    max: t(
      'The highest scores include label errors as well as rare examples. Check them and mark errors, or leave out the hardest with a window.',
    ),
    random: t('Random is the baseline: a useful score beats it.'),
    window: t('The best window differs between datasets: compare several on validation data.'),
  },
  classTable: t('Classes'),
  className: t('Class'),
  keptColumn: t('Kept'),
  keptShare: t('Share kept'),
  suspectedColumn: t('Suspected'),
  meanScore: t('Mean score'),
  noClasses: t('The classes are unknown, so they can’t be balanced.'),

  // Gallery
  gallery: t('Examples'),
  order: t('Order'),
  orderName: orderNames,
  classFilter: t('Class'),
  everyClass: t('Every class'),
  issueFilter: t('Issue'),
  anyIssue: t('All examples'),
  similarity: t('Minimum cosine of duplicates'),
  search: t('Search the content'),
  relabeledOnly: t('New labels'),
  filters: t('Filters'),
  inRegion: t('Part of the map'),
  similarTo: (name: string) => t('Most similar to {0}', name),
  predictedAs: (name: string) => t('Predicted: {0}', name),
  removeFilter: (name: string) => t('Remove the filter “{0}”', name),
  markedOnly: t('Marked'),
  found: (first: string, last: string, total: string) =>
    total === '1'
      ? counted(total, 'example')
      : t('{0} of {1}', first === last ? first : `${first}–${last}`, counted(total, 'example')),
  foundNone: t('No example matches the filters.'),
  place: (example: string, place: string, total: string) =>
    t('{0} is number {1} of {2}', example, place, total),
  filtersCleared: t('(filters were cleared to show it)'),
  firstPage: t('This is the first page.'),
  lastPage: t('This is the last page.'),
  previous: t('Previous'),
  next: t('Next'),
  pages: t('Pages'),
  markShown: t('Mark All Shown'),
  unmarkShown: t('Unmark All Shown'),
  markedCount: (count: string) => t('{0} marked', count),
  marked: t('Marked'),
  mark: t('Mark'),
  markTitle: t('Marked examples can be filtered, exported, and left out of the subset'),
  markLabel: (name: string) => t('Mark {0}', name),
  exampleName: (index: string, label: string | undefined) =>
    label === undefined ? t('example {0}', index) : t('example {0}, {1}', index, label),
  given: t('Label'),
  suggested: t('Suggested'),
  predicted: t('Predicted'),
  score: t('Score'),
  labelScore: t('Label probability'),
  labelScoreTitle: t('Mean probability of the label'),
  neverLearned: t('never learned'),
  deviation: (value: string) => `± ${value}`,
  suspectedBadge: t('suspected label'),
  copyBadge: (first: string) => t('copy of {0}', first),
  nearBadge: (first: string) => t('like {0}', first),
  groupBadge: (size: string) => t('first of {0} alike', size),
  outlierBadge: t('outlier'),
  newLabel: t('New label'),
  newLabelOf: (name: string) => t('New label of {0}', name),
  labelKept: (label: string) => t('{0} (unchanged)', label),
  labelSuggested: (label: string) => t('{0} (suggested)', label),
  useSuggested: t('Use Suggested Labels'),
  useSuggestedTitle: t(
    'Give suspected examples on this page the suggested class, unless you chose another',
  ),
  noSuggested: t('No suspected labels are left on this page.'),
  forgetLabels: t('Undo New Labels'),
  forgetLabelsTitle: t('Undo all new labels'),
  newLabels: (count: string) => t('New labels: {0}', count),
  newLabelsTitle: t('Export writes them into a copy. The dataset is never written to.'),
  details: t('Details'),
  detailsOf: (name: string) => t('Details of {0}', name),
  close: t('Close'),
  filePlace: t('File'),
  correctnessName: t('Label predicted in'),
  outlierScore: t('Distance to others'),
  outlierScoreTitle: t('Mean of 1 − cosine to the 10 nearest examples'),
  neighbors: t('Most similar examples'),
  neighborValue: (similarity: string) => t('cosine {0}', similarity),
  showSimilar: t('Show Similar'),
  pictureLabel: (index: string, label: string | undefined) =>
    label === undefined
      ? t('Picture of example {0}', index)
      : t('Picture of example {0}: {1}', index, label),
  moreText: (length: string) => `… (${counted(length, 'character')})`,
  moreNumbers: (count: string) => `… (${counted(count, 'number')})`,
  noContent: t('not shown'),
  openingData: t('Opening the dataset…'),
  none: '–',
} as const;
