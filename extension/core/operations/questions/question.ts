import type { JobContext } from '../../jobs/job';
import type { OpenModel } from '../../models/model-cache';
import type { Environment } from '../operation';

/** Surroundings of a question. */
export interface QuestionContext extends Omit<JobContext, 'emit'> {
  /** Opens a model, or returns the one that is open. */
  readonly open: OpenModel;
  /** Loaded when first asked for. */
  readonly environment: () => Promise<Environment>;
}

/**
 * Something that a panel or an editor asks. The inspector answers, a process next to the worker: it reads headers,
 * bytes and documents, runs no model and waits for no job.
 */
export interface Question<Id extends string, Request, Answer> {
  /** Method of the inspector. */
  readonly id: Id;
  /** Required workspace trust; none for reading and for writing to paths that the user selects. */
  readonly trust: 'inspect' | 'write';
  /** Imports what it needs when first asked: opening a model does not wait for the code of other questions. */
  readonly run: (request: Request, context: QuestionContext) => Promise<Answer>;
}

export const defineQuestion = <const Id extends string, Request extends object, Answer>(
  question: Question<Id, Request, Answer>,
): Question<Id, Request, Answer> => question;
