import type { DocumentId } from '../../document-names';
import type { PlanProblem } from '../../plans/plan-problems';
import type { EvolutionState, EvolutionView } from '../../symbolic/evolution/evolution-view';
import type { CompressionPlan } from '../../tensornet/budget/plan-under-budget';
import type { EstimateRequest } from '../estimate';
import type { RequestOf } from '../fields';
import type { Front, FrontRequest } from '../pareto';
import type { planCompression } from '../plan-compression';
import type { CheckPlanRequest, KeepEvaluationsRequest } from './check-plan';
import { defineQuestion } from './question';

/** Document from a file, or from the text of an editor. */
interface DocumentRequest {
  readonly id: DocumentId;
  readonly file: string;
  readonly text?: string;
}

/** Answers a `ShownContent`, by the id of the document. */
export const document = defineQuestion({
  id: 'document',
  trust: 'inspect',
  run: async ({ id, file, text }: DocumentRequest): Promise<unknown> =>
    (await import('../../documents/document-types')).showDocument(id, file, text),
});

/** Report of a document, or of a model that Espalier wrote, as Markdown. */
export const reportQuestion = defineQuestion({
  id: 'documentReport',
  trust: 'inspect',
  run: async ({ file }: { readonly file: string }): Promise<string> =>
    (await import('../report')).reportMarkdown(file),
});

/** Puts perplexities that were measured after the search into the layer profile they belong to. */
export const keepEvaluations = defineQuestion({
  id: 'keepEvaluations',
  trust: 'write',
  run: async (request: KeepEvaluationsRequest): Promise<null> =>
    (await import('./check-plan')).writeEvaluations(request),
});

export const viewEvolution = defineQuestion({
  id: 'viewEvolution',
  trust: 'inspect',
  run: async (state: EvolutionState): Promise<EvolutionView> =>
    (await import('../../symbolic/evolution/evolution-view')).viewEvolution(state),
});

/** Validates the text of a plan. */
export const checkPlanQuestion = defineQuestion({
  id: 'checkPlan',
  trust: 'inspect',
  run: async (request: CheckPlanRequest, { open }): Promise<readonly PlanProblem[]> =>
    (await import('./check-plan')).checkPlan(request, open),
});

/** Predicts plans of all sizes from single changes, without writing any. */
export const front = defineQuestion({
  id: 'front',
  trust: 'inspect',
  run: async (request: FrontRequest): Promise<Front> =>
    (await import('../pareto')).computeFront(request),
});

/** The plan of a request by single changes, without running the model. */
export const predictPlanQuestion = defineQuestion({
  id: 'predictPlan',
  trust: 'inspect',
  run: async (
    request: RequestOf<(typeof planCompression)['fields']> & { readonly sensitivity: string },
  ): Promise<CompressionPlan> => (await import('../budget-fields')).predictPlan(request),
});

/** Seconds by earlier runs on this machine; null if there were none. */
export const estimateQuestion = defineQuestion({
  id: 'estimate',
  trust: 'inspect',
  run: async (request: EstimateRequest, { open, environment }): Promise<number | null> =>
    (await import('../estimate')).estimate(request, { ...(await environment()), open }),
});

/** Checks that the models of a job can do what it requires. */
export const checkModelsQuestion = defineQuestion({
  id: 'checkModels',
  trust: 'inspect',
  run: async (request: EstimateRequest, { open }): Promise<void> =>
    (await import('../estimate')).checkModels(request, open),
});
