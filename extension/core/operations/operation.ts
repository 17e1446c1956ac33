import type * as v from 'valibot';
import type { DocumentId } from '../document-names';
import type { JobContext } from '../jobs/job';
import type { CapabilityName } from '../models/capabilities';
import type { OpenModel } from '../models/model-cache';
import type { Fields, GivenOf, RequestOf } from './fields';
import type { Presentation } from './presentation';
import type { Rule } from './rules';
import type { Work } from './work';

/** Facts about the program that runs an operation. */
export interface Environment {
  /** Folder of the texts and the model that come with Espalier. */
  readonly samples: string;
  readonly version: string;
  /** Folder in which the measured costs of this machine are stored. */
  readonly costsFolder: string;
  /** Folder of the bundles, which processes of a job are started from. */
  readonly bundles: string;
  /** Opens a model, or returns the open one, so that each is read only once. */
  readonly open: OpenModel;
}

/** Context of an operation besides its request. */
export interface OperationContext<Event = never> extends JobContext<Event> {
  readonly environment: Environment;
}

/** A capability, or `calibration`: running on the calibration inputs of the request. */
export type ModelRequirement = CapabilityName | 'calibration';

/** Groups of operations in `espalier --help`, in order, with their headings. */
export const operationGroups = {
  start: 'Start:',
  inspect: 'Inspect models:',
  shrink: 'Prune, quantize and compress:',
  measure: 'Measure and repair:',
  data: 'Score data:',
  experimental: 'Experimental:',
  tools: 'Machines and tools:',
} as const;

/** Something that a user can ask for. Command line, worker, docs and jobs are made from this. */
export interface Operation<
  F extends Fields = Fields,
  Result = unknown,
  Event = never,
  Id extends string = string,
> {
  /** Subcommand of `espalier`, JSON-RPC method and kind of job. */
  readonly id: Id;
  /** Title Case command name: "Profile Layers". */
  readonly title: string;
  /** While it runs: "Profiling". */
  readonly verb: string;
  /** One line for help and docs. */
  readonly summary: string;
  /** Group in `espalier --help`. */
  readonly group: keyof typeof operationGroups;
  readonly fields: F;
  readonly rules: readonly Rule[];
  /** The part of the result that scripts may rely on. */
  readonly result: v.GenericSchema;
  /** Required workspace trust: none to read headers, otherwise to run models or to write files. */
  readonly trust: 'inspect' | 'run' | 'write';
  /** Paths of saved progress, latest first; absent if nothing is saved. The same request resumes from there. */
  readonly resume?: (request: RequestOf<F>) => string | readonly string[];
  /** Types of documents that it writes next to its output. */
  readonly writesNextTo?: readonly DocumentId[];
  /** Default output path if the user gives no `out`. */
  readonly suggestOut?: (given: GivenOf<F>) => Promise<string>;
  /** Capabilities that the models of a request need, by field; checked while a job waits for others. */
  readonly requires?: (request: RequestOf<F>) => Readonly<Record<string, ModelRequirement>>;
  /** Amount of work, to estimate the time; undefined if unknown. */
  readonly work?: (
    request: RequestOf<F>,
    environment: Pick<Environment, 'samples' | 'open'>,
  ) => Promise<Work | undefined>;
  run(request: RequestOf<F>, context: OperationContext<Event>): Promise<Result>;
  /** True if a result meets the request; otherwise the command line exits with 1. */
  readonly passes?: (result: Result) => boolean;
  /**
   * Presentation of jobs and their results in the editor; declared after `run`, whose result type
   * it uses.
   */
  readonly presentation?: Presentation<RequestOf<F>, Result>;
  /** JSON output of a result; the result itself if absent. */
  readonly toJson?: (result: Result) => unknown;
}

/** Any operation, for code that is made from all of them. */
export type AnyOperation = Operation;

export function defineOperation<
  const Id extends string,
  const F extends Fields,
  Result,
  Event = never,
>(operation: Operation<F, Result, Event, Id>): Operation<F, Result, Event, Id> {
  return operation;
}
