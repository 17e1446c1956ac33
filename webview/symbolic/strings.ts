import { counted } from '../counted';
import type { Order } from './population';
import { listed, t } from '../translate';

const orderNames: Readonly<Record<Order, string>> = {
  validation: t('Best validation first'),
  test: t('Best test first'),
  train: t('Best training first'),
  mass: t('Lightest first'),
  found: t('As found'),
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: t('Reading the evolution…'),
  failed: t('Can’t show this evolution'),
  tryAgain: t('Try Again'),
  openText: t('Open as Text'),
  openTextTitle: t('Open the log of the evolution in the text editor'),
  waiting: t('No graph has been trained yet'),
  waitingText: t('The search is trying programs. Their graphs appear here once they are trained.'),
  stoppedText: t('Progress is saved. Select Resume to continue.'),

  // Header
  actions: t('Actions'),
  data: t('Images'),
  dataName: { faithful: t('faithful'), balanced: t('balanced') },
  dataTitle: {
    faithful: t('As published: one type of image reveals its label'),
    balanced: t('Without the type of image that reveals its label'),
  },
  examples: t('Examples'),
  examplesValue: (train: string, validation: string, test: string) =>
    t('{0} train, {1} validation, {2} test', train, validation, test),
  iterations: t('Iterations'),
  iterationsValue: (done: number, all: number) =>
    done === all ? `${all}` : t('{0} of {1}', done, all),
  population: t('Graphs'),
  populationValue: (population: number, keep: number) => t('{0}, keeping {1}', population, keep),
  programs: t('Programs searched'),
  network: t('Network'),
  networkValue: (size: string, mode: string, epochs: number) =>
    listed([size, mode, counted(epochs, 'epoch')]),
  seed: t('Seed'),
  best: t('Best by validation'),
  bestValue: (name: string, test: string) => t('{0}, test {1}', name, test),
  baseline: t('Baseline'),
  baselineTitle: t('The same network with a dense layer instead of the graph'),

  // Job
  jobLine: t('Evolution'),
  jobProgress: t('Progress of the evolution'),
  jobStarting: t('The evolution is starting'),
  resume: t('Resume'),
  resumeTitle: t('Continue where it stopped'),
  stopped: {
    cancelled: t('The evolution was canceled.'),
    failed: t('The evolution failed.'),
    crashed: t('The evolution stopped.'),
    closed: t('The evolution was interrupted.'),
  },
  announceModel: (name: string, test: string) => t('Trained {0}: test accuracy {1}', name, test),

  // Spread
  spread: t('Accuracy on test data'),
  spreadLabel: (parts: string) => t('Test accuracies of every graph by iteration. {0}', parts),
  spreadPart: (iteration: number, mean: string, least: string, most: string) =>
    t('Iteration {0}: mean {1}, {2} to {3}.', iteration, mean, least, most),
  spreadHint: t(
    'Each point is a graph. Click it, or use the arrow keys and Enter, to select it. Whiskers show mean and standard deviation.',
  ),
  visited: (iteration: number, name: string, test: string) =>
    t('Iteration {0}, {1}: test {2}', iteration, name, test),
  graphs: t('Graphs'),
  keptGraphs: t('Kept for the next iteration'),
  majority: t('Majority'),
  majorityLine: (value: string) =>
    t('Baseline that always predicts the more frequent label: {0}', value),
  shortcutLine: (value: string) =>
    t('Baseline that predicts 1 only for a shape within a shape: {0}', value),
  baselineLine: (value: string, runs: number) =>
    t(
      'Dense layer instead of a graph: {0} ({1})',
      value,
      runs === 1 ? t('1 run') : t('mean of {0} runs', runs),
    ),
  iteration: t('Iteration'),
  accuracy: t('Test accuracy'),
  spreadTable: t('Values by iteration'),
  found: t('New'),
  replaced: t('Replaced'),
  mean: t('Mean'),
  deviation: t('Deviation'),
  range: t('Range'),
  correlation: t('Train ~ test'),
  running: t('runs'),
  none: '–',

  // Population
  populationTitle: t('Population'),
  populationOf: (iteration: number) => t('Iteration {0}', iteration),
  latest: t('Latest iteration'),
  order: t('Order'),
  orderName: (order: Order) => orderNames[order],
  graphsOf: (iteration: number, count: string) =>
    t('{0} in iteration {1}', counted(count, 'graph'), iteration),
  listLabel: (iteration: number) => t('Graphs of iteration {0}', iteration),
  graphLabel: (name: string, nodes: number, edges: number) =>
    t('Graph {0}: {1}, {2}', name, counted(nodes, 'node'), counted(edges, 'edge')),
  memberLabel: (name: string, test: string, validation: string, mass: number) =>
    t('{0}, test {1}, validation {2}, mass {3}', name, test, validation, mass),
  bestBadge: t('best'),
  keptBadge: t('kept'),
  train: t('train'),
  validation: t('val.'),
  test: t('test'),
  mass: t('mass'),

  // Details
  details: t('Selected graph'),
  legend: t('Circles are nodes with their ids. Numbers on edges are ports.'),
  program: t('Program'),
  inlined: t('Inventions replaced'),
  inlinedSame: t('The program uses no invention.'),
  inlinedTooLong: t('Too long to show.'),
  symbols: (count: number) => counted(count, 'symbol'),
  copyProgram: t('Copy Program'),
  copyInlined: t('Copy Without Inventions'),
  copied: t('Copied.'),
  metrics: t('Accuracies'),
  runs: t('All training runs of this graph'),
  trainLong: t('Train'),
  trainingLong: t('While training'),
  validationLong: t('Validation'),
  testLong: t('Test'),
  massLong: t('Mass'),
  edges: t('Edges'),
  edge: t('Edge'),
  port: t('Port'),
  between: t('Nodes'),
  ends: (a: number, b: number) => `${a} – ${b}`,
  thisRun: (iteration: number) => t('{0} (shown)', iteration),

  // Library
  library: t('Library'),
  libraryNone: t('No inventions yet: programs use the ten primitives.'),
  libraryCount: (count: number) => t('{0} and the ten primitives.', counted(count, 'invention')),
  libraryTable: t('Inventions'),
  name: t('Name'),
  body: t('Body'),
  learnedAfter: t('Learned after iteration'),
  utility: t('Utility'),
  utilityTitle: t('Length saved in the kept programs, minus its own length'),
  usedIn: t('Programs that use it'),
  uses: (parts: string) => parts,
  usesOf: (iteration: number, count: number) => t('{0} in iteration {1}', count, iteration),
  unused: t('none yet'),
} as const;
