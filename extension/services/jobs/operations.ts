import type { AnyOperation } from '../../core/operations/operation';
import { operations as registry } from '../../core/operations/operations';
import type { OperationId } from '../../core/operations/operations';
import type { Presentation } from '../../core/operations/presentation';
import { dataOperations } from '../../protocol/data';
import { questions } from '../../core/operations/questions/questions';
import type { WorkerRequests } from '../../protocol/worker';

/** Queue of a job. The jobs of a lane run one after another. */
export type Lane = 'worker' | 'dataReader';

/** Properties of an operation that the job service uses. */
interface JobOperation<Request> extends Omit<
  Presentation<Request, unknown>,
  'document' | 'original' | 'reportedBy'
> {
  /** Names of fields of the request. */
  readonly document?: string;
  readonly original?: string;
  readonly reportedBy?: readonly string[];
  /** Title of a running job; `{0}` is the name of the model or dataset. */
  readonly title: string;
  readonly lane: Lane;
  /** Path of the model or dataset. */
  readonly subject: (request: Request) => string;
  /** Files and folders that contain finished work until the result is written; undefined if it cannot be resumed. */
  readonly saves?: (request: Request) => readonly string[];
  /** Output file or folder. */
  readonly output?: (request: Request) => string;
}

type Request = Readonly<Record<string, unknown>>;

function pathIn(request: object, key: string): string {
  const value = (request as Request)[key];
  return typeof value === 'string' ? value : '';
}
const out = (request: object): string => pathIn(request, 'out');

/** Fields with the path of an operation's subject, in order of priority. */
const subjects = ['data', 'model', 'scores', 'about', 'out'];

const dataReaderOperations = new Set<string>(dataOperations);

/** Properties derived from the declaration of an operation. */
function fromDeclaration(operation: AnyOperation): JobOperation<object> {
  const { id, verb, fields, resume, presentation } = operation;
  const paths = subjects.filter((key) => fields[key]?.kind === 'path');
  return {
    ...presentation,
    title: `${verb} {0}`,
    lane: dataReaderOperations.has(id) ? 'dataReader' : 'worker',
    subject: (request) =>
      paths.map((key) => pathIn(request, key)).find((path) => path !== '') ?? '',
    ...(resume === undefined ? {} : { saves: (request) => [resume(request)].flat() }),
    ...('out' in fields ? { output: out } : {}),
  };
}

/** Id of an operation that runs as a job. */
export type Operation = OperationId;
export type RequestOf<O extends Operation> = WorkerRequests[O][0];
export type ResultOf<O extends Operation> = WorkerRequests[O][1];

/** The only list of operations that run as jobs. */
export const jobOperations = Object.fromEntries(
  registry.map((operation) => [
    operation.id,
    fromDeclaration(operation as unknown as AnyOperation),
  ]),
) as unknown as { readonly [O in Operation]: JobOperation<RequestOf<O>> };

export const operations = Object.keys(jobOperations) as Operation[];

/** Requests that only read and therefore aren't jobs. */
const reading = new Set<string>(
  registry.filter(({ trust }) => trust === 'inspect').map(({ id }) => id),
);

/** True if a request to the worker runs as a job. */
export const isJob = (method: string): boolean =>
  Object.hasOwn(jobOperations, method) && !reading.has(method);

/** Requests that run a model or write, and are no jobs. */
const running = new Set<string>([
  ...(['expect', 'converse'] satisfies (keyof WorkerRequests)[]),
  ...questions.filter(({ trust }) => trust !== 'inspect').map(({ id }) => id),
]);

/** True if a request to a child process does more than read. */
export const runsOrWrites = (method: string): boolean => isJob(method) || running.has(method);

/** Returns an operation whose request type is known only at run time, as for stored jobs. */
export const getOperation = (operation: Operation): JobOperation<object> =>
  jobOperations[operation] as JobOperation<object>;
