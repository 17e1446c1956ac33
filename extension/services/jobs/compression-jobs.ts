import { basename } from 'node:path';
import { l10n } from 'vscode';
import { formatBytes, formatCount, formatPercent } from '../../core/format';
import type { ModelSummary } from '../../core/models/model-summary';
import type { Plan } from '../../core/plans/plan';
import { compress } from '../../core/operations/compress';
import type { GivenOf } from '../../core/operations/fields';
import { imatrix } from '../../core/operations/imatrix';
import { sensitivity } from '../../core/operations/sensitivity';
import { parseLimit } from '../../core/tensornet/budget/budget-limits';
import type { BudgetLimit } from '../../core/tensornet/budget/budget-limits';
import { parseCompression } from '../../core/tensornet/compression-choice';
import type { BudgetPlans } from '../documents/budget-plans';
import { freeName } from '../documents/free-name';
import { importanceEnding, modelStem } from '../documents/model-file';
import type { SensitivityProfile } from '../../core/tensornet/sensitivity/sensitivity-profile';
import type { BudgetChoice, MadePlan, ScoredFront } from '../../protocol/compression';
import type { CompressionSession } from '../sessions/compression-session';
import type { CompressionSessions } from '../sessions/compression-sessions';
import type { JobOutcome } from './job-handler';
import type { JobRecord } from './job-record';
import type { JobService } from './job-service';
import type { RequestOf, ResultOf } from './operations';
import { pruneReport } from '../reports/model-report';
import type { OpenModels } from '../documents/open-models';
import { idleSettings } from '../documents/plans';
import { isRegression, qualityNote } from '../reports/quality-report';
import { repairReport } from '../reports/repair-report';
import type { Reports } from '../reports/reports';
import type { Settings } from '../settings';
import { assertAllowed } from '../trust';
import { counts } from '../counts';

/** The jobs around compression: what they are asked, and what becomes of their results. */
export class CompressionJobs {
  readonly #jobs: JobService;
  readonly #settings: Settings;
  readonly #models: OpenModels;
  readonly #sessions: CompressionSessions;
  readonly #plans: BudgetPlans;
  readonly #reports: Reports;

  /** @param isShown whether a panel shows a session now */
  public constructor(
    jobs: JobService,
    settings: Settings,
    models: OpenModels,
    sessions: CompressionSessions,
    plans: BudgetPlans,
    reports: Reports,
    isShown: (session: CompressionSession) => boolean,
  ) {
    this.#jobs = jobs;
    this.#settings = settings;
    this.#models = models;
    this.#sessions = sessions;
    this.#plans = plans;
    this.#reports = reports;
    const shows = (job: JobRecord): boolean => sessions.of(job.model).some(isShown);
    jobs.handle('sensitivity', {
      begin: async ({ request }) => sessions.open(request.model, request.out),
      event: (event, { request }) => {
        this.#find(request.model, request.out)?.applyEvent(event);
      },
      done: (table, { request }) => {
        const session = this.#find(request.model, request.out);
        session?.setPlan(undefined);
        session?.setScores(undefined);
        session?.loadTable(table);
        return { summary: describeTable(table), shown: true };
      },
      isShown: shows,
    });
    jobs.handle('plan-compression', {
      done: async (result, { request }) => {
        const session = await sessions.open(request.model, request.sensitivity);
        session.setPlan({ ...choiceOf(request), result });
        return { summary: describePlan(result), shown: true };
      },
      isShown: shows,
    });
    jobs.handle('pareto', {
      done: async (front, { request, model }) => {
        const scores = scoresOf(front);
        const session = await sessions.open(model, request.sensitivity);
        session.setScores(scores);
        return { summary: scores === undefined ? '' : describeScores(scores), shown: true };
      },
      isShown: shows,
    });
    jobs.handle('compress', {
      done: async (result, { request }) => this.#compressed(result, request),
      isShown: shows,
    });
    jobs.handle('convert', {
      done: async (result, { request }) => this.#compressed(result, request),
    });
    jobs.handle('imatrix', {
      done: ({ path, tokens }) => ({
        summary: l10n.t(
          'Wrote {0}, measured on {1}.',
          basename(path),
          l10n.t('{0} tokens', formatCount(tokens)),
        ),
        shown: true,
      }),
    });
    jobs.handle('repair', {
      done: async (result, { name }) => {
        const { written } = result;
        if (written === null) {
          const summary = l10n.t(
            'Repair found nothing better on this text, so nothing is written. {0} stays as it is.',
            name,
          );
          return { summary, writesNothing: true };
        }
        const { path } = written;
        await reports.showText(basename(path), path, repairReport(name, result, written));
        return { summary: describeRepair(path, result) };
      },
    });
  }

  /** Measures what compressing each linear layer costs. */
  public async profile(
    session: CompressionSession,
    given: GivenOf<typeof sensitivity.fields>,
  ): Promise<void> {
    assertAllowed(session.blocked);
    const { name, path: model } = session.model;
    const request = this.#settings.request(sensitivity, { ...given, model, out: session.file });
    await this.#jobs.run({ operation: 'sensitivity', name, request });
  }

  /** Plans under a budget, measured on the real model. */
  public async plan(session: CompressionSession, choice: BudgetChoice): Promise<MadePlan> {
    assertAllowed(session.blocked);
    const { name } = session.model;
    const request = this.#plans.request(session, choice);
    const result = await this.#jobs.run({ operation: 'plan-compression', name, request });
    return { ...choice, result };
  }

  /** Runs models of all sizes on a task, and shows what they score. */
  public async scorePlans(
    session: CompressionSession,
    choice: BudgetChoice,
    task: string,
  ): Promise<ScoredFront | undefined> {
    assertAllowed(session.blocked);
    const { name } = session.model;
    const request = this.#plans.frontRequest(session, choice, task);
    return scoresOf(await this.#jobs.run({ operation: 'pareto', name, request }));
  }

  /** Writes the model that a plan describes. */
  public async compress(
    session: CompressionSession,
    given: GivenOf<typeof compress.fields> & { readonly plan: Plan },
  ): Promise<ResultOf<'compress'>> {
    assertAllowed(session.blocked);
    const request = this.#settings.request(compress, given, idleSettings(given.plan));
    return this.#jobs.run({ operation: 'compress', name: session.model.name, request });
  }

  /** Writes a model in another format, or with other types. */
  public async convert(name: string, request: RequestOf<'convert'>): Promise<ResultOf<'convert'>> {
    return this.#jobs.run({ operation: 'convert', name, request });
  }

  /** Measures which inputs of matrices matter; gives the path of the new importance matrix beside the model. */
  public async measureImportance({ name, path }: ModelSummary): Promise<string> {
    const out = await freeName(modelStem(path), importanceEnding);
    const request = this.#settings.request(imatrix, { model: path, out });
    const result = await this.#jobs.run({ operation: 'imatrix', name, request });
    return result.path;
  }

  /** Teaches a compressed or pruned model what its original does. */
  public async repair(name: string, request: RequestOf<'repair'>): Promise<ResultOf<'repair'>> {
    return this.#jobs.run({ operation: 'repair', name, request });
  }

  async #compressed(
    result: ResultOf<'compress'>,
    { model = '' }: { readonly model?: string | undefined },
  ): Promise<JobOutcome> {
    const { path, bytesBefore, bytesAfter, quality, verdict } = result;
    const summary = await this.#models.summary(model);
    await this.#reports.showText(basename(path), path, pruneReport(summary, result));
    const smaller = l10n.t(
      '{0} takes {1} instead of {2} and is verified.',
      ...[basename(path), formatBytes(bytesAfter), formatBytes(bytesBefore)],
    );
    return {
      summary: smaller + qualityNote(quality, verdict),
      isWarning: isRegression(verdict),
    };
  }

  #find(model: string, file: string | undefined): CompressionSession | undefined {
    return this.#sessions.of(model).find((session) => session.file === file);
  }
}

const choiceOf = (request: RequestOf<'plan-compression'>): BudgetChoice => ({
  limits: (request.limits ?? []).map(limitOf),
  context: request.context,
  ways: (request.methods ?? []).map((method) => parseCompression(method)),
  outer: request.embeddings === true || request.head === true,
  narrows: !request.keepWidths,
  removes: request.profile !== undefined,
});

/** A limit as the panel asks for it, which knows no fields of requests. */
function limitOf(text: string): BudgetLimit {
  const limit = parseLimit(text);
  const { unit } = limit;
  return 'ratio' in limit ? { unit, ratio: limit.ratio } : { unit, most: limit.most };
}

function describeTable({ layers }: Pick<SensitivityProfile, 'layers'>): string {
  const measurements = layers.reduce((sum, { entries }) => sum + entries.length, 0);
  return l10n.t(
    'Measured {0} of {1}.',
    counts.compressions(measurements),
    counts.layers(layers.length),
  );
}

function describePlan({ cost, costBefore, compress }: ResultOf<'plan-compression'>): string {
  const share = formatPercent(cost / costBefore);
  return l10n.t(
    'Compressed {0}: the model takes {1} of the original.',
    counts.layers(compress.length),
    share,
  );
}

/** What of a front the panel draws. */
function scoresOf({ unit, points, score: original }: ResultOf<'pareto'>): ScoredFront | undefined {
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

function describeScores({ points, original: { task, examples } }: ScoredFront): string {
  return l10n.t(
    'Measured the score of {0} on {1} ({2}).',
    ...[counts.plans(points.length), task, counts.examples(examples)],
  );
}

function describeRepair(path: string, { unit, lossBefore, lossAfter }: ResultOf<'repair'>): string {
  const figures = [
    basename(path),
    lossBefore.toPrecision(3),
    lossAfter.toPrecision(3),
    formatPercent(1 - lossAfter / lossBefore),
  ];
  return unit === 'nats'
    ? l10n.t(
        '{0}: the distance to the original on held-out text fell from {1} to {2} nats per token ({3} less).',
        ...figures,
      )
    : l10n.t(
        '{0}: the relative squared error of the outputs on held-out examples fell from {1} to {2} ({3} less).',
        ...figures,
      );
}
