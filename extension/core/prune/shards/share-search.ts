import * as v from 'valibot';
import {
  modelInputSchema,
  portableInput,
  hashSetup,
  readMessage,
  kernelProbe,
  workItemKey,
} from '../../distribute/work-item';
import type { Engine, WorkSetup } from '../../distribute/work-item';
import type { OpenTaskRunner, PoolContext } from '../../distribute/with-workers';
import { withWorkers } from '../../distribute/with-workers';
import { metricNames, metrics } from '../../metrics/metrics';
import { counted, say } from '../../message';
import type { OpenedModel } from '../../models/opened-model';
import { deviceNames } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { requireMemory } from '../../runtime/memory-shares';
import type { ScorerSetup, OriginalObserver, OriginalStates, Scorer, ScorerUse } from '../scorer';
import {
  shardRequestSchema,
  ShardWork,
  originalResultSchema,
  termsResultSchema,
} from './shard-work';
import type { Dispatcher, Pending } from '../../distribute/dispatcher';
import { createReadouts } from '../../metrics/metric-readout';
import type { BlockTerms, Slice } from '../../metrics/slices';
import { prefixTokens } from '../../metrics/slices';
import type { Vocabulary } from '../../metrics/vocabulary-sums';
import type { Candidate } from '../candidates';
import { sequenceInput } from '../scorer';
import type { ShardRequest, TermsResult } from './shard-work';

/** Job whose search runs on several workers. */
interface SharedJob {
  readonly engine: Engine;
  /** Unique key of the job. */
  readonly key: string;
  readonly model: OpenedModel;
  /** Memory of the whole job in bytes. */
  readonly memoryBytes: number;
}

const dataSchema = v.object({
  sequences: v.pipe(v.array(modelInputSchema), v.readonly()),
  metricName: v.picklist(metricNames),
  device: v.picklist(deviceNames),
  memoryBytes: v.number(),
});

/** Runs a search whose scorers distribute their work to the workers of an engine. */
export async function shareSearch<T>(
  { engine, key, model, memoryBytes }: SharedJob,
  setup: ScorerSetup,
  context: PoolContext,
  action: (setup: ScorerSetup) => Promise<T>,
): Promise<T> {
  const { sequences, metricName, executor } = setup;
  const home = new ShardWork(setup);
  if ((engine.size ?? 0) > sequences.length) {
    const most = counted(sequences.length, 'sequence');
    context.warn(say`A search of ${most} can use at most one worker per sequence.`);
  }
  const shared: WorkSetup = {
    ...{ kind: 'search', key: hashSetup(key, executor.device) },
    files: { model: { fingerprint: model.summary.fingerprint, path: model.path } },
    data: {
      ...{ sequences: sequences.map(portableInput), metricName },
      ...{ device: executor.device, memoryBytes },
    } satisfies v.InferInput<typeof dataSchema>,
  };
  return withWorkers(
    engine,
    shared,
    {
      do: async (request, job) =>
        home.do(readMessage(shardRequestSchema, request, 'The piece'), job),
      probe: async () => kernelProbe(executor, sequences[0]),
    },
    context,
    async (pieces) =>
      action({
        ...setup,
        share: (use) => new SharedScorer(setup, { pieces, setup: shared, home }, use),
      }),
  );
}

/** Opens the task runner for work items of searches. */
export const openSearchRunner: OpenTaskRunner = async (data, { openModel, threads, ...limits }) => {
  const { sequences, metricName, ...job } = readMessage(dataSchema, data, 'What pieces share');
  const { device = job.device, memoryBytes: memory = job.memoryBytes * limits.memoryShare } =
    limits;
  const { model } = await openModel();
  requireMemory(model, memory, device);
  const executor = new LayeredExecutor(model, device, memory, { threads });
  const work = new ShardWork({
    ...{ executor, sequences, metricName, metric: metrics[metricName] },
    onWork: () => undefined,
  });
  return {
    do: async (request, job) => work.do(readMessage(shardRequestSchema, request, 'The piece'), job),
    probe: async () => kernelProbe(executor, sequences[0]),
    dispose: async () => executor.dispose(),
  };
};

/** Workers and local runner of a distributed search. */
interface Sharing {
  readonly pieces: Dispatcher;
  readonly setup: WorkSetup;
  /** Runner of this process. */
  readonly home: ShardWork;
}

/** Candidates that are being measured on a slice. */
interface Begun {
  readonly ids: readonly string[];
  readonly pending: Pending<TermsResult>;
  readonly terms: Promise<readonly BlockTerms[]>;
}

/** Sequence that is measured in this process, because the search needs its final states. */
const homeSequence = 0;

/**
 * Measures each sequence on the worker that caches its trajectories. Workers return sums of terms, so that decisions
 * don't depend on which worker measured them.
 */
class SharedScorer implements Scorer {
  public readonly removed = new Set<number>();
  /** A worker measures all requested candidates of its sequence. */
  public readonly candidatesPerPass = Number.POSITIVE_INFINITY;
  private readonly removedCandidates: Candidate[] = [];
  private readonly rowCounts = new Map<number, number>();
  private readonly begun = new Map<string, Begun[]>();
  public readonly hasBounds: boolean;
  /** Vocabulary that terms are actually computed over, for a requested one. */
  private readonly over: (asked: Vocabulary) => Vocabulary;

  public constructor(
    private readonly setup: ScorerSetup,
    private readonly sharing: Sharing,
    private readonly use: ScorerUse,
  ) {
    const { executor, metricName, metric } = setup;
    const readouts = createReadouts(executor, metricName, metric);
    this.over = (asked) => (use.naive === true ? 'whole' : readouts[asked].vocabulary);
    this.hasBounds = this.over('bounded') === 'bounded';
    sharing.home.onFinal = use.onFinal ?? (() => Promise.resolve());
  }

  public async start(
    sequences: readonly number[],
    observer?: OriginalObserver,
  ): Promise<OriginalStates> {
    const { naive = false } = this.use;
    const count = this.setup.executor.model.summary.sublayers.length;
    const results = sequences.map(async (sequence) => {
      const request = { kind: 'original', sequence, naive } as const;
      const found = await this.ask(request, originalResultSchema, sequence, count).result;
      this.rowCounts.set(sequence, found.rows);
      this.setup.work.add(found);
      this.setup.onWork();
      return found;
    });
    // Added in a fixed order, so that sums don't depend on timing.
    for (const { cosine } of await Promise.all(results)) {
      observer?.add(cosine);
    }
    return this.sharing.home.original;
  }

  public startFrom(): void {
    // Workers have run the original on their sequences.
  }

  public rows(sequence: number): Promise<number> {
    const tokens = prefixTokens(this.setup.executor.model, sequenceInput(this.setup, sequence));
    return Promise.resolve(tokens > 0 ? tokens : (this.rowCounts.get(sequence) ?? 0));
  }

  public async terms(
    step: string,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    asked: Vocabulary,
    ahead: readonly Slice[] = [],
  ): Promise<BlockTerms[][]> {
    const { memo } = this.setup;
    const vocabulary = this.over(asked);
    const missing = (slice: Slice): Candidate[] =>
      candidates.filter(({ id }) => memo.get(step, id, vocabulary, slice) === undefined);
    const measured = slices.map(async (slice) => {
      const open = missing(slice);
      const terms = await this.measure(step, open, slice, vocabulary);
      await memo.add(
        open.map(({ id }) => ({
          ...{ kind: 'term', step, candidate: id, vocabulary, ...slice },
          terms: terms.get(id) ?? [Number.NaN],
        })),
      );
    });
    const idle = Math.max(0, this.sharing.pieces.size - slices.length);
    for (const slice of ahead.slice(0, idle)) {
      this.begin(step, missing(slice), slice, vocabulary, true);
    }
    await Promise.all(measured);
    return candidates.map(({ id }) =>
      slices.map((slice) => memo.get(step, id, vocabulary, slice) ?? [Number.NaN]),
    );
  }

  public commit(candidate: Candidate): void {
    this.removedCandidates.push(candidate);
    candidate.members.forEach((member) => this.removed.add(member));
    this.forget();
  }

  public forget(): void {
    for (const { pending } of [...this.begun.values()].flat()) {
      pending.drop();
    }
    this.begun.clear();
  }

  public end(): void {
    this.forget();
  }

  /** Terms of candidates on a slice, by id. */
  private async measure(
    step: string,
    candidates: readonly Candidate[],
    slice: Slice,
    vocabulary: Vocabulary,
  ): Promise<ReadonlyMap<string, BlockTerms>> {
    const all = this.begin(step, candidates, slice, vocabulary, false);
    const found = new Map<string, BlockTerms>();
    for (const { ids, pending, terms } of all) {
      pending.want();
      const own = await terms;
      ids.forEach((id, i) => found.set(id, own[i] ?? [Number.NaN]));
    }
    return found;
  }

  /** Starts measurements of a slice that have not started; returns all of them. */
  private begin(
    step: string,
    candidates: readonly Candidate[],
    slice: Slice,
    vocabulary: Vocabulary,
    isAhead: boolean,
  ): readonly Begun[] {
    const key = JSON.stringify([step, vocabulary, slice]);
    const begun = this.begun.get(key) ?? [];
    this.begun.set(key, begun);
    const open = candidates.filter(({ id }) => !begun.some(({ ids }) => ids.includes(id)));
    if (open.length > 0) {
      const { line, naive = false } = this.use;
      const count = this.setup.executor.model.summary.sublayers.length;
      const cost = open.reduce((sum, { first }) => sum + count - first, 0);
      const request = {
        kind: 'terms',
        line,
        naive,
        removed: [...this.removedCandidates],
        candidates: open,
      } as const;
      const pending = this.ask(
        { ...request, slice, vocabulary },
        termsResultSchema(open.length),
        slice.sequence,
        cost,
        isAhead,
      );
      const terms = this.taken(pending);
      // Measurements made ahead of need may fail unobserved; callers that await the terms see the error.
      terms.catch(() => undefined);
      begun.push({ ids: open.map(({ id }) => id), pending, terms });
    }
    return begun;
  }

  private async taken({ result }: Pending<TermsResult>): Promise<readonly BlockTerms[]> {
    const found = await result;
    this.setup.work.add(found);
    this.setup.onWork();
    return found.terms;
  }

  private ask<Result>(
    request: ShardRequest,
    result: v.GenericSchema<unknown, Result>,
    lane: number,
    cost: number,
    isAhead = false,
  ): Pending<Result> {
    const { pieces, setup } = this.sharing;
    const home = lane === homeSequence;
    const piece = { key: workItemKey(setup, request), lane, cost, request, result, home };
    return pieces.add(piece, { isAhead });
  }
}
