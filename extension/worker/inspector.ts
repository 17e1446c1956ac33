import type { JobContext } from '../core/jobs/job';
import { ModelCache } from '../core/models/model-cache';
import type { OpenedModel } from '../core/models/opened-model';
import type { QuestionContext } from '../core/operations/questions/question';
import { questions } from '../core/operations/questions/questions';
import type { QuestionRequests } from '../core/operations/questions/questions';
import type { Handlers } from './serve';
import { serve } from './serve';

/** Models looked at last. */
const models = new ModelCache({ capacity: 8 });
const surroundings: Pick<QuestionContext, 'open' | 'environment'> = {
  open: async (path: string): Promise<OpenedModel> => models.open(path),
  environment: async () => (await import('./environment')).environment,
};

type Answer = (request: object, context: QuestionContext) => Promise<unknown>;

/**
 * A separate process, so that showing a model or document neither waits for a job nor blocks the editor. It runs no
 * model.
 */
serve<QuestionRequests>(
  Object.fromEntries(
    questions.map(({ id, run }) => [
      id,
      async (request: object, context: JobContext) =>
        (run as Answer)(request, { ...context, ...surroundings }),
    ]),
  ) as unknown as Handlers<QuestionRequests>,
);
