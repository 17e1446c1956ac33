import {
  evolutionJournal,
  journalBeside,
  runsBeside,
  workFolder,
} from '../../core/jobs/work-folder';
import type { DataRequests } from '../../protocol/data';
import type { WorkerRequests } from '../../protocol/worker';

/** What jobs wait for: those of one lane run one after another. */
export type Lane = 'worker' | 'dataReader';

type Declared = Pick<DataRequests, 'export'> & WorkerRequests;

/** What the job service knows of an operation. */
interface JobOperation<Request> {
  /** What runs; `{0}` is the name of what it works on. */
  readonly title: string;
  readonly lane: Lane;
  /** Path of the model or data set that it works on. */
  readonly subject: (request: Request) => string;
  /** Files and folders that hold finished work until the result is written; absent where it does not resume. */
  readonly saves?: (request: Request) => readonly string[];
  /** What is said of that; `{0}` of `{1}` are counted. */
  readonly saved?: string;
  /** Whether its progress counts what is saved, and nothing else. */
  readonly countsSaved?: boolean;
  /** What a crash may leave besides. */
  readonly scratch?: (request: Request) => readonly string[];
  /** What it writes: a file or a folder. */
  readonly output?: (request: Request) => string;
}

const model = (request: { readonly model?: string | undefined }): string => request.model ?? '';
const data = (request: { readonly data: string }): string => request.data;
const out = (request: { readonly out?: string | undefined }): string => request.out ?? '';

const declared = {
  profile: {
    title: 'Profiling {0}',
    lane: 'worker',
    subject: model,
    saves: (request) => (request.out === undefined ? [] : [journalBeside(request.out)]),
    saved: '{0} of {1} sublayers are saved.',
    output: out,
  },
  prune: { title: 'Pruning {0}', lane: 'worker', subject: model, output: out },
  evaluate: { title: 'Evaluating {0}', lane: 'worker', subject: model },
  patch: {
    title: 'Patching {0}',
    lane: 'worker',
    subject: model,
    saves: (request) => [workFolder(request.out, 'patch')],
    output: out,
  },
  sensitivity: {
    title: 'Measuring compression of {0}',
    lane: 'worker',
    subject: model,
    saves: ({ out: file }) => (file === undefined ? [] : [journalBeside(file)]),
    saved: '{0} of {1} measurements are saved.',
    countsSaved: true,
    scratch: ({ out: file }) => (file === undefined ? [] : [`${journalBeside(file)}.forms`]),
    output: out,
  },
  planBudget: { title: 'Planning compression of {0}', lane: 'worker', subject: model },
  compress: {
    title: 'Compressing {0}',
    lane: 'worker',
    subject: model,
    saves: (request) => [workFolder(request.out, 'compress')],
    output: out,
  },
  repair: {
    title: 'Repairing {0}',
    lane: 'worker',
    subject: model,
    saves: (request) => [workFolder(request.out, 'repair')],
    output: out,
  },
  'score-data': {
    title: 'Scoring {0}',
    lane: 'worker',
    subject: data,
    saves: (request) => [runsBeside(request.out)],
    output: out,
  },
  'score-text': {
    title: 'Scoring text for {0}',
    lane: 'worker',
    subject: model,
    saves: (request) => (request.out === undefined ? [] : [journalBeside(request.out)]),
    output: out,
  },
  'data-diet': {
    title: 'Comparing subsets of {0}',
    lane: 'worker',
    subject: data,
    saves: (request) => [runsBeside(request.out)],
    output: out,
  },
  synthesize: {
    title: 'Synthesizing modules in {0}',
    lane: 'worker',
    subject: out,
    saves: (request) => [evolutionJournal(request.out)],
    output: out,
  },
  export: {
    title: 'Exporting from {0}',
    lane: 'dataReader',
    subject: (request) => request.data ?? request.scores,
    output: out,
  },
} satisfies { readonly [M in keyof Declared]?: JobOperation<Declared[M][0]> };

/** Id of an operation that runs as a job. */
export type Operation = keyof typeof declared;
export type RequestOf<O extends Operation> = Declared[O][0];
export type ResultOf<O extends Operation> = Declared[O][1];

/** The one list of what runs as a job. */
export const jobOperations: { readonly [O in Operation]: JobOperation<RequestOf<O>> } = declared;

export const operations = Object.keys(declared) as Operation[];

export const isOperation = (name: string): name is Operation => Object.hasOwn(declared, name);

/** An operation where its own type of request is known only at run time, as for what was stored. */
export const operationOf = (operation: Operation): JobOperation<object> =>
  jobOperations[operation] as JobOperation<object>;
