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
  failed: 'This evolution cannot be shown',
  tryAgain: 'Try Again',
  openText: 'Open as Text',
  openTextTitle: 'Open the log of the evolution in the text editor',
  waiting: 'No module is trained yet',
  waitingText:
    'The search goes through programs; the graphs that they build appear here as soon as their networks are trained.',
  stoppedText: 'What was trained before comes back at once when it is resumed.',

  // Header
  actions: 'Actions',
  data: 'Pictures',
  dataName: { faithful: 'faithful', balanced: 'balanced' },
  dataTitle: {
    faithful: 'As published: a shape in a shape tells the label',
    balanced: 'Without the type of picture that tells its label',
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
  baselineTitle: 'Networks with a dense layer in place of the graph, trained in the same way',

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
    'Every point is a graph: click it, or walk with the arrow keys and press Enter, to see it. Whiskers are means and standard deviations.',
  visited: (iteration: number, name: string, test: string) =>
    `Iteration ${iteration}, ${name}: test ${test}`,
  graphs: 'Graphs',
  keptGraphs: 'Kept for the next iteration',
  majority: 'Majority',
  majorityLine: (value: string) => `Always the more frequent label: ${value}`,
  shortcutLine: (value: string) => `1 for a shape in a shape, else 0: ${value}`,
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
  graphsOf: (iteration: number, count: string) => `Graphs of iteration ${iteration}: ${count}`,
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
  legend: 'Circles are nodes with their ids, numbers on edges are ports.',
  program: 'Program',
  inlined: 'Inventions replaced',
  inlinedSame: 'The program uses no invention.',
  inlinedTooLong: 'Too long to be written out.',
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
  utilityTitle: 'What it took off the cost of the kept programs, less its own cost',
  usedIn: 'Programs that use it',
  uses: (parts: string) => parts,
  usesOf: (iteration: number, count: number) => `${count} in iteration ${iteration}`,
  unused: 'none yet',
} as const;
