import type { GalleryQuery } from '../../extension/protocol/datamap';
import type { policies } from './view-state';

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
  max: 'The hardest (max)',
  window: 'The hardest behind a window (window)',
  random: 'Any, as a control (random)',
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: 'Reading the scores and their data set…',
  failed: 'These scores cannot be shown',
  tryAgain: 'Try Again',

  withoutData: 'The examples themselves are not shown until Choose Data Set… names it.',

  // Header
  actions: 'Actions',
  exportSubset: 'Export Subset…',
  exportTitle: 'Write the chosen subset, the marked examples, or the scores for another tool',
  chooseData: 'Choose Data Set…',
  chooseDataTitle: 'Name the data set that these scores are of',
  reload: 'Reload',
  reloadTitle: 'Read the scores and the data set again',
  openText: 'Open as Text',
  openTextTitle: 'Open the document of scores in the text editor',
  scoreName: (score: string) => scoreNames[score] ?? score,
  examples: 'Examples',
  classes: 'Classes',
  model: 'Proxy model',
  epoch: 'Scored at',
  epochValue: (epoch: number) =>
    epoch === 0 ? 'initialisation' : epoch === 1 ? 'epoch 1' : `epoch ${epoch}`,
  runs: 'Runs',
  agreement: 'Agreement of runs',
  agreementValue: (rho: string) => `Spearman ${rho}`,
  agreementNone: 'unknown for one run',
  agreementTitle: 'Mean rank correlation of the scores over all pairs of runs: 1 is the same order',
  seconds: 'Scoring took',
  suspected: 'Suspected labels',
  suspectedTitle:
    'Confident learning: another class is predicted, with at least the probability that examples of that class have on average',
  noise: 'Flipped labels',
  notes: 'Notes',
  noteMax: 'Keeping the highest scores collects label errors together with rare examples.',

  // Export
  exportLine: 'Export',
  exportProgress: 'Progress of the export',
  exportStarting: 'The export is starting',
  exportRunning: 'The export is running',
  exportCancelled: 'The export was cancelled.',
  nothingWritten: 'Nothing was written.',

  // Charts
  histogram: 'Scores',
  histogramLabel: (score: string, summary: string) => `${score} of all examples. ${summary}`,
  infinite: (count: number, text: string) =>
    count === 1
      ? 'One example was never learned: its score is infinite.'
      : `${text} examples were never learned: their score is infinite.`,
  noFinite: 'No example has a finite score.',
  histogramNumbers: 'Numbers of the histogram',
  from: 'From',
  to: 'To',
  map: 'Confidence and variability',
  mapSummary: (parts: string) => `Map of confidence against variability: ${parts}.`,
  mapGroup: (name: string, count: string) => `${name}: ${count}`,
  mapSampled: (drawn: string, all: string) => `A random ${drawn} of ${all} examples are drawn.`,
  mapNone: 'These scores say nothing of the training from epoch to epoch, so there is no map.',
  mapOneEpoch:
    'Variability is over runs and epochs: with few of both, the map says little about ambiguity.',
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
    'Click a point, or walk with the arrow keys and press Enter, to go to its example; Escape comes back.',
  visited: (point: string, group: string, confidence: string, variability: string) =>
    `${point}: ${group}, confidence ${confidence}, variability ${variability}`,

  // Experiments
  experiment: 'Accuracy against share kept',
  experimentNone:
    'No experiment of this data set lies beside the scores. One trains a small model on parts of the data set, chosen by score and at random, and on the whole.',
  compare: 'Compare Subsets…',
  compareTitle: 'Train on parts of the data set and measure how accurate each makes a model',
  experimentIso: (iso: string, seeds: number, file: string) =>
    `${file}: every subset is trained for as many ${iso} as the whole, from ${seeds} seeds.`,
  experimentSummary: (file: string, series: string) => `Line chart of ${file}: ${series}.`,
  seriesName: (name: string) => (name === 'full' ? 'all examples' : name),
  kept: 'Kept',
  accuracy: 'Test accuracy',
  trainedOn: 'Trained on',
  behind: (offset: string) => `behind ${offset}`,
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
    `${kept} of ${all} examples are kept (${share}).`,
  warnMax:
    'The highest scores collect label errors as well as rare examples: look through them, mark what is wrong, or drop a window.',
  warnRandom: 'A random choice is what every score has to beat.',
  warnWindow:
    'How many of the hardest to drop is not known beforehand: compare windows on validation data.',
  classTable: 'Classes',
  className: 'Class',
  keptColumn: 'Kept',
  keptShare: 'Share kept',
  suspectedColumn: 'Suspected',
  meanScore: 'Mean score',
  noClasses: 'The classes of the examples are not known, so they cannot be balanced.',

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
      ? '1 example'
      : `${first === last ? first : `${first}–${last}`} of ${total} examples`,
  foundNone: 'No example passes the filters.',
  place: (example: string, place: string, total: string) =>
    `${example} is number ${place} of ${total}`,
  filtersCleared: '(filters were cleared to show it)',
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
  given: 'Given',
  suggested: 'Suggested',
  score: 'Score',
  labelScore: 'Probability',
  labelScoreTitle: 'Mean probability that the models give to the label',
  neverLearned: 'never learned',
  deviation: (value: string) => `± ${value}`,
  suspectedBadge: 'suspected label',
  pictureLabel: (index: string, label: string | undefined) =>
    label === undefined ? `Picture of example ${index}` : `Picture of example ${index}: ${label}`,
  moreText: (length: string) => `… (${length} characters)`,
  moreNumbers: (count: string) => `… (${count} numbers)`,
  noContent: 'not shown',
} as const;
