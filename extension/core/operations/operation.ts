import type * as v from 'valibot';
import type { DocumentId } from '../document-names';
import type { JobContext } from '../jobs/job';
import type { OpenModel } from '../models/model-cache';
import type { Fields, GivenOf, RequestOf } from './fields';
import type { Presentation } from './presentation';
import type { Rule } from './rules';
import type { Work } from './work';

/** What the program that runs an operation knows. */
export interface Environment {
  /** Folder of the texts and the model that come with Espalier. */
  readonly samples: string;
  readonly version: string;
  /** Where what work costs on this machine is kept. */
  readonly costsFolder: string;
  /** Folder of the bundles, which processes of a job are started from. */
  readonly bundles: string;
  /** Opens a model, or gives the one that is open: each is read once. */
  readonly open: OpenModel;
}

/** What an operation gets besides its request. */
export interface OperationContext<Event = never> extends JobContext<Event> {
  readonly environment: Environment;
}

/** Something that a user can ask for. Command line, worker, docs and jobs are made from this. */
export interface Operation<
  F extends Fields = Fields,
  Result = unknown,
  Event = never,
  Id extends string = string,
> {
  /** Subcommand of `espalier`, JSON-RPC method and kind of job. */
  readonly id: Id;
  /** As a command: "Profile Layers". */
  readonly title: string;
  /** While it runs: "Profiling". */
  readonly verb: string;
  /** One line for help and docs. */
  readonly summary: string;
  readonly fields: F;
  readonly rules: readonly Rule[];
  /** The part of the result that scripts may rely on. */
  readonly result: v.GenericSchema;
  /** What workspace trust it needs: none to read headers, else to run models or to write files. */
  readonly trust: 'inspect' | 'run' | 'write';
  /** Where progress is saved, the latest first; absent where nothing is. The same request continues from there. */
  readonly resume?: (request: RequestOf<F>) => string | readonly string[];
  /** Types of documents that it writes next to its output. */
  readonly writesBeside?: readonly DocumentId[];
  /** Where the result goes if the user names no `out`, for a person to look at. */
  readonly suggestOut?: (given: GivenOf<F>) => Promise<string>;
  /** How much it has to do, for an estimate of its time; undefined where that cannot be told. */
  readonly work?: (
    request: RequestOf<F>,
    environment: Pick<Environment, 'samples' | 'open'>,
  ) => Promise<Work | undefined>;
  run(request: RequestOf<F>, context: OperationContext<Event>): Promise<Result>;
  /** Whether a result is what was asked for; the command line ends with 1 where it is not. */
  readonly passes?: (result: Result) => boolean;
  /** How the editor presents jobs and their results; written after `run`, whose result it takes. */
  readonly presentation?: Presentation<RequestOf<F>, Result>;
  /** What scripts get of a result; absent where that is the result itself. */
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
