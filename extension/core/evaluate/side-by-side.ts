import * as v from 'valibot';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import type { SavedPart } from '../jobs/saved-parts';
import { inEnglish, say } from '../message';
import type { Message } from '../message';
import { LogitsMeter } from '../metrics/logits-meter';
import { metrics } from '../metrics/metrics';
import { DataType } from '../onnx/graph-builder';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { emitBest, isBest, negativeLogLikelihood } from '../runtime/next-token';
import { explainNonFinite } from '../runtime/non-finite';
import { int64Tensor, tensorOf } from '../runtime/tensors';
import type { HiddenState, Tensor } from '../runtime/tensors';
import { predictedRows, termSums, tokenLogits } from '../runtime/token-sums';
import { batchEqual, finalStates, windowsPerBatch } from '../runtime/windows';
import type { TextWindow } from '../runtime/windows';
import type { PredictionsCompared } from './evaluation';
import { meanOverWindows, shareOverWindows } from './paired';
import type { Interval, Loss } from './paired';
import { perplexityOf, windowsToPredict } from './perplexity';
import type { HeldOutIds, MeasuredText, PerplexityOptions } from './perplexity';

/** A model and what it reads. */
export interface Reader {
  readonly executor: LayeredExecutor;
  readonly text: HeldOutIds;
  /** Units that the model lacks, see RemovableUnits. */
  readonly removed: ReadonlySet<number>;
}

/** Sums over the predicted tokens of a window. */
const windowComparedSchema = v.object({
  /** Negative log-likelihoods in nats. */
  before: v.number(),
  after: v.number(),
  /** KL(p‖q) in nats, p being the original's probabilities. */
  divergence: v.number(),
  /** Tokens that both find likeliest. */
  same: v.number(),
});
type WindowCompared = Readonly<v.InferOutput<typeof windowComparedSchema>>;

/** The same, with the milliseconds that each model has run. */
export const timedWindowSchema = v.object({
  ...windowComparedSchema.entries,
  clock: v.object({ before: v.number(), after: v.number() }),
});
type TimedWindow = Readonly<v.InferOutput<typeof timedWindowSchema>>;

/** Thrown where a graph gives logits of more or fewer ids than it says. */
export class VocabularyMismatch extends Error {
  public constructor(public readonly obstacle: Message) {
    super(inEnglish(obstacle));
  }
}

/** How two models read, and where what is found is saved. */
type ComparedOptions = Omit<PerplexityOptions, 'removed' | 'saved'> & {
  readonly saved: SavedPart<TimedWindow>;
};

/**
 * Runs two models over the same windows, so that what they predict is compared token by token.
 * @throws VocabularyMismatch in the first window
 */
export async function evaluateSideBySide(
  original: Reader,
  changed: Reader,
  { saved, ...options }: ComparedOptions,
  watcher: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<PredictionsCompared & { readonly before: MeasuredText; readonly after: MeasuredText }> {
  const pair = new Pair(original, changed, watcher);
  const windows = {
    before: windowsToPredict(original.executor.model, original.text, options),
    after: windowsToPredict(changed.executor.model, changed.text, options),
  };
  const sums = [...saved.values];
  const rest = windows.before.slice(sums.length);
  // One window warms up, as where a model is evaluated by itself.
  if (rest.length > 0) {
    await pair.compare(rest.slice(0, 1), windows.after.slice(sums.length, sums.length + 1));
  }
  const size = Math.min(
    windowsPerBatch(original.executor, windows.before),
    windowsPerBatch(changed.executor, windows.after),
  );
  for (const batch of batchEqual(rest, size)) {
    const { length: done } = sums;
    const clock = { before: 0, after: 0 };
    const report = (share: number): void => {
      watcher.progress({
        stage: say`Evaluating ${changed.executor.model.summary.name}`,
        done: done + Math.floor(share * batch.length),
        total: windows.before.length,
        unit: 'sequences',
      });
    };
    const others = windows.after.slice(done, done + batch.length);
    const compared = await pair.compare(batch, others, { clock, report });
    const each = { before: clock.before / batch.length, after: clock.after / batch.length };
    const found = compared.map((window) => ({ ...window, clock: each }));
    report(1);
    sums.push(...found);
    await saved.add(found);
  }
  const tokens = windows.before.map(({ targets }) => targets.filter((id) => id >= 0).length);
  const of = (read: (window: WindowCompared) => number): Loss[] =>
    sums.map((window, i) => ({ sum: read(window), tokens: tokens[i] ?? 0 }));
  const klDivergence = meanOverWindows(of(({ divergence }) => divergence));
  const agreement = shareOverWindows(of(({ same }) => same));
  return {
    before: perplexityOf(
      original.executor.model,
      windows.before,
      sums.map((one) => one.before),
      sums.reduce((total, { clock }) => total + clock.before, 0),
    ),
    after: perplexityOf(
      changed.executor.model,
      windows.after,
      sums.map((one) => one.after),
      sums.reduce((total, { clock }) => total + clock.after, 0),
    ),
    ...(klDivergence === undefined ? {} : { klDivergence: notNegative(klDivergence) }),
    ...(agreement === undefined ? {} : { agreement }),
  };
}

/** A divergence is not negative, but rounding and the interval can be. */
const notNegative = ({ value, low, high }: Interval): Interval => ({
  value: Math.max(0, value),
  low: Math.max(0, low),
  high: Math.max(0, high),
});

/** Milliseconds that each model has run. */
type Clock = Record<'before' | 'after', number>;

/** What is told of a run. */
interface Told {
  readonly clock: Clock;
  readonly report: (share: number) => void;
}

/** Of a run that warms up. */
const untold = (): Told => ({ clock: { before: 0, after: 0 }, report: () => undefined });

class Pair {
  private readonly meter: LogitsMeter;

  public constructor(
    private readonly original: Reader,
    private readonly changed: Reader,
    private readonly watcher: Pick<JobContext, 'cancellation'>,
  ) {
    this.meter = new LogitsMeter(changed.executor, 'kl', metrics.kl, 'candidate');
  }

  public async compare(
    before: readonly TextWindow[],
    after: readonly TextWindow[],
    { clock, report }: Told = untold(),
  ): Promise<WindowCompared[]> {
    const { original, changed } = this;
    const found: WindowCompared[] = [];
    const states = await timed(clock, 'before', async () =>
      this.statesOf(original, before, (share) => {
        report(share / 2);
      }),
    );
    try {
      const others = await timed(clock, 'after', async () =>
        this.statesOf(changed, after, (share) => {
          report((1 + share) / 2);
        }),
      );
      try {
        for (const [i, state] of states.entries()) {
          const [window, other, otherState] = [before[i], after[i], others[i]];
          if (window === undefined || other === undefined || otherState === undefined) {
            throw new RangeError('both models read as many windows');
          }
          await checkpoint(this.watcher.cancellation);
          const sums = await this.compareTokens(window.targets, state, otherState, clock);
          await requireFinite(original, window, sums.before);
          await requireFinite(changed, other, sums.after);
          found.push(sums);
        }
      } finally {
        changed.executor.states.release(...others);
      }
    } finally {
      original.executor.states.release(...states);
    }
    return found;
  }

  private async statesOf(
    { executor, removed }: Reader,
    windows: readonly TextWindow[],
    report: Told['report'],
  ): Promise<HiddenState[]> {
    const inputs = windows.map(({ input }) => input);
    const { cancellation } = this.watcher;
    return finalStates(executor, inputs, removed, { cancellation, report });
  }

  private async compareTokens(
    targets: Int32Array,
    state: HiddenState,
    otherState: HiddenState,
    clock: Clock,
  ): Promise<WindowCompared> {
    const [first, second] = [this.original.executor, this.changed.executor];
    const logits = await timed(clock, 'before', async () => tokenLogits(first, targets, state));
    const others = await timed(clock, 'after', async () =>
      tokenLogits(second, targets, otherState),
    );
    const sums = { before: 0, after: 0, divergence: 0, same: 0 };
    for (const rows of predictedRows(targets, Math.min(logits.perRun, others.perRun))) {
      const next = targets.subarray(rows.start, rows.end);
      const loss = [negativeLogLikelihood];
      const [z, before] = await timed(clock, 'before', async () => {
        const given = await logits.of(rows);
        return [given, await termSums(first, loss, given, next)] as const;
      });
      const [changed, after] = await timed(clock, 'after', async () => {
        const given = await others.of(rows);
        return [given, await termSums(second, loss, given, next)] as const;
      });
      requireOneVocabulary(this.original, this.changed, z, changed);
      sums.before += before[0] ?? Number.NaN;
      sums.after += after[0] ?? Number.NaN;
      sums.divergence += await this.divergenceOf(z, changed, next);
      const [same = Number.NaN] = await termSums(
        second,
        [isBest],
        changed,
        await likeliest(first, z, next),
      );
      sums.same += same;
    }
    return sums;
  }

  private async divergenceOf(z: Tensor, changed: Tensor, next: Int32Array): Promise<number> {
    const { states } = this.changed.executor;
    const read = await this.meter.originalOf(z);
    const terms = await this.meter.terms(read, changed, int64Tensor(next, [1, next.length]));
    states.letGo(...Object.values(read));
    return terms.reduce((sum, term, row) => sum + ((next[row] ?? -1) < 0 ? 0 : term), 0);
  }
}

/** The likeliest id of each row, −1 where the next token does not count. */
async function likeliest(
  executor: LayeredExecutor,
  logits: Tensor,
  next: Int32Array,
): Promise<Int32Array> {
  const width = logits.dims.at(-1) ?? 1;
  const outputs = await executor.compute(
    {
      key: `likeliest.${width}`,
      build: (graph) => {
        const z = graph.input('z', DataType.FLOAT, [1, 'rows', width]);
        graph.output('ids', emitBest(graph, z), DataType.INT64);
      },
    },
    { z: logits },
  );
  const { data } = tensorOf(outputs, 'ids');
  return next.map((id, row) => (id < 0 ? -1 : Number(data[row])));
}

async function timed<T>(clock: Clock, model: keyof Clock, measure: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const found = await measure();
  clock[model] += performance.now() - started;
  return found;
}

/** @throws UserError naming the weights at fault. */
async function requireFinite(
  { executor, removed }: Reader,
  { input }: TextWindow,
  sum: number,
): Promise<void> {
  if (!Number.isFinite(sum)) {
    throw await explainNonFinite(executor, input, removed);
  }
}

/** @throws VocabularyMismatch where logits are of other ids. */
function requireOneVocabulary(original: Reader, changed: Reader, z: Tensor, other: Tensor): void {
  const [ids, others] = [z, other].map(({ dims }) => dims.at(-1));
  if (ids !== others) {
    const [first, second] = [original, changed].map(({ executor }) => executor.model.summary);
    throw new VocabularyMismatch(
      say`${second?.name ?? ''} gives logits of ${others ?? 0} tokens, ${first?.name ?? ''} of ${ids ?? 0}, so only their perplexities can be compared.`,
    );
  }
}
