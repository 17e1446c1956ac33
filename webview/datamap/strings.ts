import { counted } from '../counted';
import type { GalleryQuery, policies } from '../../extension/protocol/datamap';

const scoreNames: Readonly<Record<string, string>> = {
  el2n: 'EL2N',
  grand: 'GraNd',
  forgetting: 'Forgetting',
  margin: 'Margin',
};

const orderNames: Readonly<Record<GalleryQuery['order'], string>> = {
  hardest: 'Hardest first',
  easiest: 'Easiest first',
  ambiguous: 'Most variable first',
  suspicious: 'Least probable label first',
  stored: 'As stored',
};

const policyNames: Readonly<Record<(typeof policies)[number], string>> = {
  max: 'Hardest (max)',
  window: 'Hardest after a window (window)',
  random: 'Random, as a baseline (random)',
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: 'Reading the scores and their data set…',
  failed: 'Can’t show these scores',
  tryAgain: 'Try Again',

  withoutData: 'Select Choose Data Set… to see the examples.',

  // Header
  actions: 'Actions',
  exportSubset: 'Export Subset…',
  exportTitle: 'Write the subset, the marked examples, or the scores for another tool',
  chooseData: 'Choose Data Set…',
  chooseDataTitle: 'Choose the data set that was scored',
  reload: 'Reload',
  reloadTitle: 'Read the scores and the data set again',
  openText: 'Open as Text',
  openTextTitle: 'Open the scores in the text editor',
  scoreName: (score: string) => scoreNames[score] ?? score,
  examples: 'Examples',
  classes: 'Classes',
  model: 'Proxy model',
  epoch: 'Scored at',
  epochValue: (epoch: number) =>
    epoch === 0 ? 'initialization' : epoch === 1 ? 'epoch 1' : `epoch ${epoch}`,
  runs: 'Runs',
  agreement: 'Agreement of runs',
  agreementValue: (rho: string) => `Spearman ${rho}`,
  agreementNone: 'unknown for one run',
  agreementTitle: 'Mean rank correlation of the scores over all pairs of runs: 1 is the same order',
  seconds: 'Scoring took',
  suspected: 'Suspected labels',
  suspectedTitle:
    'Labels that are probably wrong (confident learning): the models predict another class, as confidently as for examples of that class',
  noise: 'Flipped labels',
  notes: 'Notes',

  // Export
  exportLine: 'Export',
  exportProgress: 'Progress of the export',
  exportStarting: 'The export is starting',
  exportRunning: 'The export is running',
  exportStopped: {
    cancelled: 'The export was cancelled. Nothing was written.',
    failed: 'The export failed.',
    crashed: 'The export stopped.',
    closed: 'The export was interrupted.',
  },

  // Charts
  histogram: 'Scores',
  histogramLabel: (score: string, summary: string) => `${score} of all examples. ${summary}`,
  infinite: (count: number, text: string) =>
    count === 1
      ? 'One example was never learned: its score is infinite.'
      : `${text} examples were never learned: their score is infinite.`,
  noFinite: 'No example has a finite score.',
  map: 'Confidence and variability',
  mapSummary: (parts: string) => `Map of confidence against variability: ${parts}.`,
  mapGroup: (name: string, count: string) => `${name}: ${count}`,
  mapSampled: (drawn: string, all: string) =>
    `Shows ${drawn} of ${counted(all, 'example')}, chosen at random.`,
  mapNone: 'No map: these scores don’t include training dynamics.',
  mapOneEpoch: 'Few runs and epochs: variability says little yet.',
  mapTable: 'Groups of the map',
  group: 'Label predicted',
  confidence: 'Confidence',
  variability: 'Variability',
  meanConfidence: 'Mean confidence',
  meanVariability: 'Mean variability',
  correctness: {
    rarely: 'rarely right (below ⅓)',
    sometimes: 'sometimes right',
    mostly: 'mostly right (from ⅔)',
  },
  share: 'Share',
  point: (index: string) => `Example ${index}`,
  mapHint:
    'Click a point to go to its example. Keyboard: arrow keys to move, Enter to go to the example, Escape to come back.',
  visited: (point: string, group: string, confidence: string, variability: string) =>
    `${point}: ${group}, confidence ${confidence}, variability ${variability}`,

  // Experiments
  experiment: 'Accuracy against share kept',
  experimentNone:
    'No experiment with this data set yet. Compare Subsets… trains small models on chosen, random and all examples.',
  compare: 'Compare Subsets…',
  compareTitle: 'Train on several subsets and measure the accuracy of each',
  experimentIso: (iso: string, seeds: number, file: string) =>
    `${file}: each subset is trained for as many ${iso} as all examples, with ${counted(seeds, 'seed')}.`,
  experimentSummary: (file: string, series: string) => `Line chart of ${file}: ${series}.`,
  seriesName: (name: string) => (name === 'full' ? 'all examples' : name),
  kept: 'Kept',
  accuracy: 'Test accuracy',
  trainedOn: 'Trained on',
  behind: (offset: string) => `after the hardest ${offset}`,
  experimentTable: 'Numbers of the experiment',

  // Subset
  subset: 'What to keep',
  policy: 'Policy',
  policyName: policyNames,
  keep: 'Share kept',
  offset: 'Hardest left out',
  balanced: 'Same share of every class',
  leaveOut: 'Leave out marked examples',
  counted: (kept: string, all: string, share: string) =>
    `${kept} of ${counted(all, 'example')} ${kept === '1' ? 'is' : 'are'} kept (${share}).`,
  warning: {
    max: 'The highest scores include label errors as well as rare examples. Look through them and mark what is wrong, or leave out the hardest with a window.',
    random: 'Random is the baseline: a useful score beats it.',
    window: 'The best window differs between data sets: compare several on validation data.',
  },
  classTable: 'Classes',
  className: 'Class',
  keptColumn: 'Kept',
  keptShare: 'Share kept',
  suspectedColumn: 'Suspected',
  meanScore: 'Mean score',
  noClasses: 'The classes are unknown, so they can’t be balanced.',

  // Gallery
  gallery: 'Examples',
  order: 'Order',
  orderName: orderNames,
  classFilter: 'Class',
  everyClass: 'Every class',
  suspectedOnly: 'Suspected label errors',
  markedOnly: 'Marked',
  found: (first: string, last: string, total: string) =>
    total === '1'
      ? counted(total, 'example')
      : `${first === last ? first : `${first}–${last}`} of ${counted(total, 'example')}`,
  foundNone: 'No example matches the filters.',
  place: (example: string, place: string, total: string) =>
    `${example} is number ${place} of ${total}`,
  filtersCleared: '(filters were cleared to show it)',
  firstPage: 'This is the first page.',
  lastPage: 'This is the last page.',
  previous: 'Previous',
  next: 'Next',
  pages: 'Pages',
  markShown: 'Mark All Shown',
  unmarkShown: 'Unmark All Shown',
  markedCount: (count: string) => `${count} marked`,
  marked: 'Marked',
  mark: 'Mark',
  markTitle: 'Marked examples can be filtered, exported, and left out of the subset',
  markLabel: (name: string) => `Mark ${name}`,
  exampleName: (index: string, label: string | undefined) =>
    label === undefined ? `example ${index}` : `example ${index}, ${label}`,
  given: 'Label',
  suggested: 'Suggested',
  predicted: 'Predicted',
  score: 'Score',
  labelScore: 'Label probability',
  labelScoreTitle: 'Mean probability that the models give to the label',
  neverLearned: 'never learned',
  deviation: (value: string) => `± ${value}`,
  suspectedBadge: 'suspected label',
  pictureLabel: (index: string, label: string | undefined) =>
    label === undefined ? `Picture of example ${index}` : `Picture of example ${index}: ${label}`,
  moreText: (length: string) => `… (${counted(length, 'character')})`,
  moreNumbers: (count: string) => `… (${counted(count, 'number')})`,
  noContent: 'not shown',
  none: '–',
} as const;
