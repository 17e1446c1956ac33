import { counted } from '../counted';
import type { Order } from './population';

const orderNames: Readonly<Record<Order, string>> = {
  validation: 'Best validation first',
  test: 'Best test first',
  train: 'Best training first',
  mass: 'Lightest first',
  found: 'As found',
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: 'Reading the evolution…',
  failed: 'Can’t show this evolution',
  tryAgain: 'Try Again',
  openText: 'Open as Text',
  openTextTitle: 'Open the log of the evolution in the text editor',
  waiting: 'No graph has been trained yet',
  waitingText:
    'The search is trying programs. The graphs that they build appear here once they are trained.',
  stoppedText: 'Progress is saved. Select Resume to continue.',

  // Header
  actions: 'Actions',
  data: 'Pictures',
  dataName: { faithful: 'faithful', balanced: 'balanced' },
  dataTitle: {
    faithful: 'As published: one type of picture gives its label away',
    balanced: 'Without the type of picture that gives its label away',
  },
  examples: 'Examples',
  examplesValue: (train: string, validation: string, test: string) =>
    `${train} train, ${validation} validation, ${test} test`,
  iterations: 'Iterations',
  iterationsValue: (done: number, all: number) => (done === all ? `${all}` : `${done} of ${all}`),
  population: 'Graphs',
  populationValue: (population: number, keep: number) => `${population}, keeping ${keep}`,
  programs: 'Programs searched',
  network: 'Network',
  networkValue: (size: string, mode: string, epochs: number) =>
    `${size}, ${mode}, ${counted(epochs, 'epoch')}`,
  seed: 'Seed',
  best: 'Best by validation',
  bestValue: (name: string, test: string) => `${name}, test ${test}`,
  baseline: 'Baseline',
  baselineTitle: 'The same network with a dense layer instead of the graph',

  // Job
  jobLine: 'Evolution',
  jobProgress: 'Progress of the evolution',
  jobStarting: 'The evolution is starting',
  resume: 'Resume',
  resumeTitle: 'Continue where it stopped',
  stopped: {
    cancelled: 'The evolution was cancelled.',
    failed: 'The evolution failed.',
    crashed: 'The evolution stopped.',
    closed: 'The evolution was interrupted.',
  },
  announceModel: (name: string, test: string) => `Trained ${name}: test accuracy ${test}`,

  // Spread
  spread: 'Accuracy on test data',
  spreadLabel: (parts: string) => `Test accuracies of every graph by iteration. ${parts}`,
  spreadPart: (iteration: number, mean: string, least: string, most: string) =>
    `Iteration ${iteration}: mean ${mean}, ${least} to ${most}.`,
  spreadHint:
    'Each point is a graph. Click it, or use the arrow keys and Enter, to select it. Whiskers show mean and standard deviation.',
  visited: (iteration: number, name: string, test: string) =>
    `Iteration ${iteration}, ${name}: test ${test}`,
  graphs: 'Graphs',
  keptGraphs: 'Kept for the next iteration',
  majority: 'Majority',
  majorityLine: (value: string) => `Always guessing the more frequent label: ${value}`,
  shortcutLine: (value: string) => `Guessing 1 only for a shape within a shape: ${value}`,
  baselineLine: (value: string, runs: number) =>
    `Dense layer instead of a graph: ${value} (${runs === 1 ? '1 run' : `mean of ${runs} runs`})`,
  iteration: 'Iteration',
  accuracy: 'Test accuracy',
  spreadTable: 'Numbers by iteration',
  found: 'New',
  replaced: 'Replaced',
  mean: 'Mean',
  deviation: 'Deviation',
  range: 'Range',
  correlation: 'Train ~ test',
  running: 'runs',
  none: '–',

  // Population
  populationTitle: 'Population',
  populationOf: (iteration: number) => `Iteration ${iteration}`,
  latest: 'Latest iteration',
  order: 'Order',
  orderName: (order: Order) => orderNames[order],
  graphsOf: (iteration: number, count: string) =>
    `${counted(count, 'graph')} in iteration ${iteration}`,
  listLabel: (iteration: number) => `Graphs of iteration ${iteration}`,
  graphLabel: (name: string, nodes: number, edges: number) =>
    `Graph ${name}: ${counted(nodes, 'node')}, ${counted(edges, 'edge')}`,
  memberLabel: (name: string, test: string, validation: string, mass: number) =>
    `${name}, test ${test}, validation ${validation}, mass ${mass}`,
  bestBadge: 'best',
  keptBadge: 'kept',
  train: 'train',
  validation: 'val.',
  test: 'test',
  mass: 'mass',

  // Details
  details: 'Selected graph',
  legend: 'Circles are nodes with their ids. Numbers on edges are ports.',
  program: 'Program',
  inlined: 'Inventions replaced',
  inlinedSame: 'The program uses no invention.',
  inlinedTooLong: 'Too long to show.',
  symbols: (count: number) => counted(count, 'symbol'),
  copyProgram: 'Copy Program',
  copyInlined: 'Copy Without Inventions',
  copied: 'Copied.',
  metrics: 'Accuracies',
  runs: 'Every training of this graph',
  trainLong: 'Train',
  trainingLong: 'While training',
  validationLong: 'Validation',
  testLong: 'Test',
  massLong: 'Mass',
  edges: 'Edges',
  edge: 'Edge',
  port: 'Port',
  between: 'Nodes',
  ends: (a: number, b: number) => `${a} – ${b}`,
  thisRun: (iteration: number) => `${iteration} (shown)`,

  // Library
  library: 'Library',
  libraryNone: 'No invention yet: programs are written with the ten primitives.',
  libraryCount: (count: number) => `${counted(count, 'invention')} and the ten primitives.`,
  libraryTable: 'Inventions',
  name: 'Name',
  body: 'Body',
  learnedAfter: 'Learned after iteration',
  utility: 'Utility',
  utilityTitle: 'How much shorter it makes the kept programs, minus its own length',
  usedIn: 'Programs that use it',
  uses: (parts: string) => parts,
  usesOf: (iteration: number, count: number) => `${count} in iteration ${iteration}`,
  unused: 'none yet',
} as const;
