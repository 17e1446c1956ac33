import type { TaskJob } from '../../jobs/child-task';
import type { Cancellation } from '../../jobs/job';
import type { HiddenState } from '../../runtime/tensors';
import type { Candidate } from '../candidates';
import { CosineLocal } from '../cosine-local';
import { NaiveScorer } from '../naive-scorer';
import { refuseNonFinite } from '../scorer';
import type { FinalObserver, OriginalStates, Scorer, ScorerSetup } from '../scorer';
import { SearchMemo } from '../search-memo';
import { SearchWork } from '../search-work';
import { TrajectoryScorer } from '../trajectory-scorer';
import * as v from 'valibot';
import { vocabularies } from '../../metrics/vocabulary-sums';

/** Setup of a scorer for shards of a search. */
export type ShardSetup = Pick<
  ScorerSetup,
  'executor' | 'sequences' | 'metricName' | 'metric' | 'onWork'
>;

/** Scorer that follows the removals of one line. */
interface Line {
  readonly name: string;
  readonly scorer: Scorer;
  readonly memo: SearchMemo;
  /** Ids of removed candidates. */
  readonly removed: string[];
  /** Candidates that were measured. */
  readonly seen: Map<string, Candidate>;
}

const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const candidateSchema = v.object({
  id: v.string(),
  members: v.pipe(v.array(index), v.readonly()),
  first: index,
});

/** Request of a search to the worker that has a sequence. */
export const shardRequestSchema = v.variant('kind', [
  /** Runs the original on a sequence. */
  v.object({ kind: v.literal('original'), sequence: index, naive: v.boolean() }),
  /** Measures candidates on a slice, on top of the given removals. */
  v.object({
    kind: v.literal('terms'),
    /** Name of the removal order. Each request of a line extends the removals of the previous one. */
    line: v.string(),
    naive: v.boolean(),
    /** Removed candidates, in order. */
    removed: v.pipe(v.array(candidateSchema), v.readonly()),
    candidates: v.pipe(v.array(candidateSchema), v.readonly()),
    slice: v.object({ sequence: index, from: index, to: index }),
    vocabulary: v.picklist(vocabularies),
  }),
]);
/** Request to a worker: run the original, or measure candidates, on its shard of the sequences. */
export type ShardRequest = v.InferOutput<typeof shardRequestSchema>;
type TermsRequest = Extract<ShardRequest, { kind: 'terms' }>;

const spent = { evaluated: v.number(), read: v.number() };
/** Sum of terms; NaN if the model's outputs are not finite without a candidate. */
const sum = v.union([v.number(), v.nan()]);

/** Result of running the original on a shard. */
export const originalResultSchema = v.object({
  ...spent,
  /** Number of output rows. */
  rows: v.number(),
  /** By sublayer: sums of 1 − cosine, and their numbers of tokens. */
  cosine: v.object({
    sums: v.pipe(v.array(sum), v.readonly()),
    tokens: v.pipe(v.array(v.number()), v.readonly()),
  }),
});
type OriginalResult = v.InferOutput<typeof originalResultSchema>;

export interface TermsResult {
  readonly evaluated: number;
  readonly read: number;
  /** Terms of each candidate. */
  readonly terms: readonly (readonly number[])[];
}
/** Schema of the result for a number of candidates. */
export const termsResultSchema = (candidates: number): v.GenericSchema<unknown, TermsResult> =>
  v.object({
    ...spent,
    terms: v.pipe(v.array(v.pipe(v.array(sum), v.readonly())), v.length(candidates)),
  });

/**
 * Measures candidates on some sequences of a search and caches their trajectories. Requests can come in any order; one
 * that extends the previous removals takes less work.
 */
export class ShardWork {
  private readonly originals = new Map<number, HiddenState>();
  private line: Line | undefined;
  /** Called with final states of subsequent requests. */
  public onFinal: FinalObserver = () => Promise.resolve();

  private readonly setup: Omit<ScorerSetup, 'memo'>;
  private cancellation: Cancellation = { isCancellationRequested: false };

  public constructor(setup: ShardSetup) {
    const isCancelled = (): boolean => this.cancellation.isCancellationRequested;
    const { executor, sequences, metricName, metric, onWork } = setup;
    this.setup = {
      ...{ executor, sequences, metricName, metric, onWork },
      work: new SearchWork(executor.model),
      cancellation: {
        get isCancellationRequested(): boolean {
          return isCancelled();
        },
      },
    };
  }

  /** Final states of the original for sequences run in this process. */
  public get original(): OriginalStates {
    return this.originals;
  }

  public async do(
    request: ShardRequest,
    { cancellation }: Pick<TaskJob, 'cancellation'>,
  ): Promise<OriginalResult | TermsResult> {
    const { work } = this.setup;
    this.cancellation = cancellation;
    const before = work.spent;
    const result =
      request.kind === 'original'
        ? await this.runOriginal(request.sequence, request.naive)
        : { terms: await this.terms(request) };
    const { evaluated, read } = work.spent;
    return { ...result, evaluated: evaluated - before.evaluated, read: read - before.read };
  }

  private async runOriginal(
    sequence: number,
    naive: boolean,
  ): Promise<Pick<OriginalResult, 'rows' | 'cosine'>> {
    const setup = { ...this.setup, memo: forgetful() };
    const cosine = new CosineLocal(setup);
    const scorer = naive ? new NaiveScorer(setup) : new TrajectoryScorer(setup);
    try {
      const states = await scorer.start([sequence], cosine);
      await refuseNonFinite(setup, states);
      states.forEach((state, index) => this.originals.set(index, state));
      return { rows: await scorer.rows(sequence), cosine: cosine.sums };
    } finally {
      scorer.end();
    }
  }

  private async terms(request: TermsRequest): Promise<TermsResult['terms']> {
    const { naive, candidates, slice, vocabulary } = request;
    if (!this.originals.has(slice.sequence)) {
      await this.runOriginal(slice.sequence, naive);
    }
    const { scorer, memo, seen } = this.follow(request);
    scorer.startFrom(this.originals);
    candidates.forEach((candidate) => seen.set(candidate.id, candidate));
    memo.clear();
    const terms = await scorer.terms('', candidates, [slice], vocabulary);
    return terms.map(([own = []]) => own);
  }

  /** Scorer of a line, advanced to the removals of a request. */
  private follow({ line: name, naive, removed }: TermsRequest): Line {
    const isBehind =
      this.line?.name === name && this.line.removed.every((id, i) => id === removed[i]?.id);
    if (!isBehind) {
      this.line?.scorer.end();
    }
    const line = isBehind && this.line !== undefined ? this.line : this.begin(name, naive);
    this.line = line;
    for (const candidate of removed.slice(line.removed.length)) {
      line.scorer.commit(
        candidate,
        [...line.seen.values()].filter(({ id }) => id !== candidate.id),
      );
      line.removed.push(candidate.id);
    }
    return line;
  }

  private begin(name: string, naive: boolean): Line {
    const memo = forgetful();
    const setup = { ...this.setup, memo };
    const scorer = naive
      ? new NaiveScorer(setup)
      : new TrajectoryScorer(setup, async (candidate, slice, state) =>
          this.onFinal(candidate, slice, state),
        );
    return { name, scorer, memo, removed: [], seen: new Map() };
  }
}

function forgetful(): SearchMemo {
  return new SearchMemo([], () => Promise.resolve());
}
