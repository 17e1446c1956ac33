import { counted } from '../counted';
import type { CompressionJob } from '../../extension/protocol/compression';
import { ends } from '../strings';
import type { SortKey } from './sort-keys';
import type { BudgetUnit, Drawback, Method, Role, Way } from './types';

type JobName = Exclude<CompressionJob, { kind: 'idle' }>['what'];

const jobNames: Readonly<Record<JobName, string>> = {
  sensitivity: 'Measuring',
  'plan-compression': 'Planning',
  compress: 'Compressing',
};

const methods: Readonly<Record<Method, string>> = {
  mpo: 'Tensor network (MPO)',
  lowrank: 'Low rank',
  int8: 'int8',
  int4: 'int4',
};

const levels: Readonly<Record<Method, (level: number) => string>> = {
  mpo: (level) => `χ ${level}`,
  lowrank: (level) => `rank ${level}`,
  int8: (level) => (level === 0 ? 'per output' : `blocks of ${level}`),
  int4: (level) => `blocks of ${level}`,
};

/** In the order of the panel's lines. */
const roles: Readonly<Record<Role, string>> = {
  query: 'Query',
  key: 'Key',
  value: 'Value',
  'query-key-value': 'Query-key-value',
  output: 'Output',
  gate: 'Gate',
  up: 'Up',
  'gate-up': 'Gate-up',
  down: 'Down',
  other: 'Other',
};

const units: Readonly<Record<BudgetUnit, string>> = {
  bytes: 'Bytes',
  parameters: 'Parameters',
  flops: 'FLOPs per token',
  milliseconds: 'Milliseconds per token',
};

const columns: Readonly<Record<SortKey, string>> = {
  tensor: 'Linear layer',
  role: 'Matrix',
  block: 'Block',
  level: 'Level',
  loss: 'Distance',
  error: 'Matrix error',
  outputError: 'Output error',
  bytes: 'Bytes before',
  after: 'After',
  milliseconds: 'Time',
};

const drawbacks: Readonly<Record<Drawback, string>> = {
  bytes: 'not smaller than the original',
  flops: 'more FLOPs than the original',
  milliseconds: 'slower than the original',
};

/** Every text of the panel that people read, so that a translation replaces one module. */
export const strings = {
  loading: 'Loading the model…',

  // Header
  actions: 'Actions',
  profile: 'Measure…',
  profileAgain: 'Measure Again…',
  profileTitle: 'Measure what compressing each linear layer alone costs',
  resume: 'Resume',
  resumeTitle: 'Continue where the job stopped',
  compress: 'Compress with One Method…',
  compressTitle: 'Write a new model whose linear layers are all compressed by the same method',
  heatmap: 'Layer Heatmap',
  heatmapTitle: 'See which sublayers the model can do without',
  openText: 'Open as Text',
  openTextTitle: 'Open the sensitivity profile in the text editor',
  reasonRunning: (job: JobName) => `${jobNames[job]} is running`,
  size: 'Size',
  layers: 'Linear layers',
  calibration: 'Calibration',
  calibrationValue: (sequences: string, length: string, source: string) =>
    length === '1'
      ? `${counted(sequences, 'example')}, ${source}`
      : `${sequences} × ${length} tokens, ${source}`,
  bundledText: 'bundled text',
  fittedTo: 'Fitted to',
  fittedToOther: (sequences: string, length: string) =>
    length === '1' ? counted(sequences, 'other') : `${sequences} × ${length} others`,
  fittedToOtherTitle:
    'Methods that look at inputs (low rank, GPTQ, scaled tensor networks) are fitted to other data than distances are measured on',
  fittedToSame: 'the same',
  fittedToSameTitle:
    'Methods that look at inputs (low rank, GPTQ, scaled tensor networks) were fitted to the data that distances are measured on, and seem better than they are',
  metric: 'Metric',
  device: 'Device',
  took: 'Took',
  file: 'Profile',

  // Job
  jobProgress: (job: JobName) => `Progress: ${jobNames[job]}`,
  starting: (job: JobName) => `${jobNames[job]} is starting`,
  stopped: (job: JobName, reason: keyof typeof ends) => `${jobNames[job]} ${ends[reason]}`,
  finished: (job: JobName) => `${jobNames[job]} has finished.`,

  // Empty state
  empty: 'Measure the layers to see which matrices this model lets you compress, and how far.',
  emptyDetail:
    'Each linear layer is compressed alone with several methods and settings, and the change in the output is measured on calibration data. The model stays as it is.',

  // Grid
  grid: 'Sensitivity to compression',
  gridHint:
    'Point at a cell to see its numbers. Keyboard: arrow keys to move, Home and End to go to the ends of a line.',
  block: 'Block',
  blockNumber: (block: number) => `Block ${block}`,
  nothing: 'No linear layer',
  shown: 'Method',
  plan: 'The plan',
  way: ({ method, variant, then }: Way) =>
    [
      methods[method],
      ...(variant === undefined ? [] : [`(${variant})`]),
      ...(then === undefined ? [] : [`+ ${then}`]),
    ].join(' '),
  method: (method: Method) => methods[method],
  level: (method: Method, level: number) => levels[method](level),
  role: roles,
  place: { embedding: 'Embedding', head: 'Head' },
  tied: 'Embedding, head',
  share: 'Bytes left of a layer',
  shareValue: (percent: string) => `about ${percent}`,
  oneLevel: (percent: string) => `one level: ${percent} of the bytes left`,
  planShown: 'Each layer as planned. Layers without a colour stay as they are.',
  cheap: 'cheap',
  costly: 'costly',
  legend: (metric: string) => `Distance to the original (${metric}, log scale)`,
  legendNothing: 'No distances yet',
  legendPending: 'not measured',
  legendKept: 'kept as it is by the plan',
  legendRemoved: 'removed by the plan',
  legendDrawback: 'no gain: not smaller, slower, or more FLOPs than the original',
  cellName: (line: string, block: number) => `${line}, block ${block}`,
  cellLabel: (name: string, facts: readonly string[]) => `${name}: ${facts.join(', ')}`,
  drawback: (drawback: Drawback) => drawbacks[drawback],
  status: {
    pending: 'not measured with this method',
    kept: 'kept as it is by the plan',
    removed: 'removed by the plan with its sublayer',
  },

  // Whether it pays
  pays: (layers: string) =>
    layers === '1'
      ? 'The layer measured here gets smaller, and takes no more FLOPs than the original.'
      : `All ${layers} layers measured here get smaller, and none takes more FLOPs than the original.`,
  paysNot: (parts: readonly string[], layers: string) =>
    `Of ${counted(layers, 'layer')}, ${parts.join('; ')}.`,
  paysPart: (count: string, drawback: Drawback) =>
    ({
      bytes: `${count} would be no smaller`,
      flops: `${count} would need more FLOPs per token`,
      milliseconds: `${count} would be slower on this machine`,
    })[drawback],
  mpoNote:
    'A tensor network that is multiplied out on loading saves disk space and transfer, but neither time nor memory.',

  // Details
  sizes: 'Shape',
  levelFact: 'Level',
  distance: 'Distance',
  plusMinus: (value: string, error: string) => `${value} ± ${error}`,
  error: 'Error of the matrix',
  outputError: 'Error of its outputs',
  bytes: 'Bytes',
  parameters: 'Parameters',
  flops: 'FLOPs per token',
  milliseconds: 'Time per token',
  noTime: 'not measured',
  runs: 'Runs faster',
  mpoRuns: {
    contracted: 'as one matrix, multiplied out when it is loaded',
    chained: 'core by core',
  },
  timeValue: (milliseconds: string) => `${milliseconds} ms`,
  change: (before: string, after: string) => `${before} → ${after}`,
  none: '–',

  // Findings
  findings: 'The paper and this model',
  findingsNote:
    'Mean distance when one layer is compressed to about half its bytes. Models differ: trust the measurement.',
  findingsTable: 'What the paper says beside what this model shows',
  findingMethod: 'Method',
  findingEarly: 'Paper: early blocks are sensitive',
  findingDown: 'Paper: down projections stay uncompressed',
  holds: 'Holds here',
  holdsNot: 'Not here',
  unknown: 'Unknown: not enough layers were measured',
  groups: (groups: readonly string[]) => groups.join(' · '),
  depth: { early: 'early', middle: 'middle', late: 'late' },
  findingsWaiting: 'Nothing has been measured yet.',

  // Budget
  budget: 'Plan under a budget',
  unit: 'Counted in',
  units,
  left: 'Target size',
  covers: (unit: BudgetUnit, outer: boolean) =>
    unit === 'bytes' || unit === 'parameters'
      ? 'Share of all tensors, including embedding and head.'
      : outer
        ? 'Share of what the blocks and the head take.'
        : 'Share of what the blocks take, without the head.',
  least: (percent: string) => `The measured methods reach down to ${percent}.`,
  allowed: 'Methods allowed',
  removes: (count: string) => `Allow removing sublayers (${count} in the layer profile)`,
  outerToo: 'Compress embedding and head too',
  noRemovals:
    'To let the plan remove sublayers, first profile them with the same metric (Layer Heatmap).',
  makePlan: 'Plan',
  makePlanTitle: 'Choose a method and level for each layer, and measure the result as a whole',
  reasonNoWay: 'Allow a method first',
  reasonUnreachable: 'The allowed methods don’t make the model smaller. Allow or measure more.',
  savePlan: 'Save Plan…',
  savePlanTitle: 'Write the plan to a file, which you can edit',
  applyPlan: 'Apply Plan…',
  applyPlanTitle: 'Write the compressed model that the plan describes',
  forgetPlan: 'Discard Plan',
  forgetPlanTitle: 'Show the methods again',
  planOf: (percent: string, unit: string) => `Plan for ${percent} of the ${unit.toLowerCase()}`,
  cost: 'Left',
  costNote: (after: string, before: string) => `${after} of ${before}`,
  predicted: 'Predicted distance',
  predictedNote: 'sum over the layers',
  measured: 'Measured distance',
  measuredNote: (tried: string) => (tried === '1' ? 'one plan measured' : `best of ${tried} plans`),
  changed: 'Layers compressed',
  removed: 'Sublayers removed',
  ofTotal: (total: string) => `of ${total}`,
  milli: (value: string) => `${value} ms`,
  countOf: (count: string, way: string) => `${count} × ${way}`,

  // Table
  table: 'Linear layers',
  tableCaption: 'Linear layers with what the shown compression does to each',
  column: columns,
  rowKept: 'kept',
  rowRemoved: 'removed',
} as const;
