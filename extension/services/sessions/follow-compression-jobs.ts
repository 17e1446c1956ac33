import type { RequestOf, ResultOf } from '../jobs/operations';
import type { BudgetLimit } from '../../core/tensornet/budget/budget-limits';
import { parseLimit } from '../../core/tensornet/budget/budget-limits';
import { parseCompression } from '../../core/tensornet/compression-choice';
import type { BudgetChoice, ScoredFront } from '../../protocol/compression';
import type { JobService } from '../jobs/job-service';
import type { CompressionSession } from './compression-session';
import type { CompressionSessions } from './compression-sessions';

/** Puts results of jobs into the sessions of their sensitivity profiles. */
export function followCompressionJobs(jobs: JobService, sessions: CompressionSessions): void {
  const find = ({ model, out }: RequestOf<'sensitivity'>): CompressionSession | undefined =>
    sessions.of(model).find(({ file }) => file === out);
  jobs.follow('sensitivity', {
    begin: async ({ request }) => sessions.open(request.model, request.out),
    event: (event, { request }) => find(request)?.applyEvent(event),
    done: (table, { request }) => {
      const session = find(request);
      session?.setPlan(undefined);
      session?.setScores(undefined);
      session?.loadTable(table);
    },
  });
  jobs.follow('plan-compression', {
    done: async (result, { request }) => {
      const session = await sessions.open(request.model, request.sensitivity);
      session.setPlan({ ...budgetChoice(request), result });
    },
  });
  jobs.follow('pareto', {
    done: async (front, { request, model }) => {
      const session = await sessions.open(model, request.sensitivity);
      session.setScores(scoredFront(front));
    },
  });
}

const budgetChoice = (request: RequestOf<'plan-compression'>): BudgetChoice => ({
  limits: (request.limits ?? []).map(budgetLimit),
  context: request.context,
  schemes: (request.methods ?? []).map((method) => parseCompression(method)),
  embeddingAndHead: request.embeddings === true || request.head === true,
  prunesWidths: !request.keepWidths,
  removes: request.profile !== undefined,
});

/** A limit as the panel asks for it, which knows no fields of requests. */
function budgetLimit(text: string): BudgetLimit {
  const limit = parseLimit(text);
  const { unit } = limit;
  return 'ratio' in limit ? { unit, ratio: limit.ratio } : { unit, most: limit.most };
}

/** Points of a front as the panel draws them; undefined if they were not run on a task. */
function scoredFront({
  unit,
  points,
  score: original,
}: ResultOf<'pareto'>): ScoredFront | undefined {
  return original === undefined
    ? undefined
    : {
        ...{ unit, original },
        points: points.flatMap(({ cost, sumOfDistances, score }) =>
          score === undefined
            ? []
            : [{ cost, sumOfDistances, acc: score.acc, accError: score.accError }],
        ),
      };
}
