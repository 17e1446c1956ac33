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
import { emitArgmax, top1Hit, negativeLogLikelihood } from '../runtime/next-token';
import { explainNonFinite } from '../runtime/non-finite';
import { int64Tensor, outputTensor } from '../runtime/tensors';
import type { HiddenState, Tensor } from '../runtime/tensors';
import { predictedRows, termValues, tokenLogits } from '../runtime/token-sums';
import { batchEqual, finalStates, longestWindow, windowsPerBatch } from '../runtime/windows';
import type { TextWindow } from '../runtime/windows';
import { comparedWindowSchema, sum } from './compared-tokens';
import type { ComparedWindow } from './compared-tokens';
import { toPerplexity, windowsToPredict } from './perplexity';
import type { HeldOutIds, MeasuredText, PerplexityOptions } from './perplexity';

/** Model and its inputs. */
export interface Reader {
  readonly executor: LayeredExecutor;
  readonly text: HeldOutIds;
  /** Removed units, see RemovableUnits. */
  readonly removed: ReadonlySet<number>;
}

/** A compared window, with the milliseconds that each model ran. */
export const timedWindowSchema = v.object({
  ...comparedWindowSchema.entries,
  clock: v.object({ before: v.number(), after: v.number() }),
});
type TimedWindow = Readonly<v.InferOutput<typeof timedWindowSchema>>;

/** Thrown if a graph outputs logits for more or fewer ids than it declares. */
export class VocabularyMismatch extends Error {
  public constructor(public readonly obstacle: Message) {
    super(inEnglish(obstacle));
  }
}

/** Reading options of two models, and the store for their results. */
type ComparedOptions = Omit<PerplexityOptions, 'removed' | 'saved'> & {
  readonly saved: SavedPart<TimedWindow>;
};

/**
 * Runs two models over the same windows, and compares their predictions token by token.
 * @throws VocabularyMismatch in the first window
 */
export async function evaluateSideBySide(
  original: Reader,
  changed: Reader,
  { saved, ...options }: ComparedOptions,
  watcher: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<{
  readonly before: MeasuredText;
  readonly after: MeasuredText;
  readonly windows: readonly ComparedWindow[];
}> {
  const pair = new Pair(original, changed, watcher);
  const windows = {
    before: windowsToPredict(original.executor.model, original.text, options),
    after: windowsToPredict(changed.executor.model, changed.text, options),
  };
  const sums = [...saved.values];
  const rest = windows.before.slice(sums.length);
  // One window warms up, as when a model is evaluated alone.
  if (rest.length > 0) {
    await pair.compare(rest.slice(0, 1), windows.after.slice(sums.length, sums.length + 1));
  }
  const size = Math.min(
    windowsPerBatch(original.executor, longestWindow(windows.before)),
    windowsPerBatch(changed.executor, longestWindow(windows.after)),
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
  const total = (model: keyof Clock): number =>
    sums.reduce((sum, { clock }) => sum + clock[model], 0);
  const loss = (model: keyof Clock): number[] => sums.map((window) => sum(window[model]));
  return {
    before: toPerplexity(original.executor.model, windows.before, loss('before'), total('before')),
    after: toPerplexity(changed.executor.model, windows.after, loss('after'), total('after')),
    windows: sums,
  };
}

/** Milliseconds that each model has run. */
type Clock = Record<'before' | 'after', number>;

/** Clock and progress report of a run. */
interface RunReporting {
  readonly clock: Clock;
  readonly report: (share: number) => void;
}

/** Reporting of a warm-up run, which is ignored. */
const silent = (): RunReporting => ({ clock: { before: 0, after: 0 }, report: () => undefined });

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
    { clock, report }: RunReporting = silent(),
  ): Promise<ComparedWindow[]> {
    const { original, changed } = this;
    const found: ComparedWindow[] = [];
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
          const tokens = await this.compareTokens(window.targets, state, otherState, clock);
          await requireFinite(original, window, sum(tokens.before));
          await requireFinite(changed, other, sum(tokens.after));
          found.push(tokens);
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
    report: RunReporting['report'],
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
  ): Promise<ComparedWindow> {
    const [first, second] = [this.original.executor, this.changed.executor];
    const logits = await timed(clock, 'before', async () => tokenLogits(first, targets, state));
    const others = await timed(clock, 'after', async () =>
      tokenLogits(second, targets, otherState),
    );
    const found = { before: [], after: [], divergence: [], same: [] } as Record<
      keyof ComparedWindow,
      number[]
    >;
    for (const rows of predictedRows(targets, Math.min(logits.perRun, others.perRun))) {
      const next = targets.subarray(rows.start, rows.end);
      const [z, before] = await timed(clock, 'before', async () => {
        const given = await logits.of(rows);
        return [given, await termValues(first, negativeLogLikelihood, given, next)] as const;
      });
      const [changed, after] = await timed(clock, 'after', async () => {
        const given = await others.of(rows);
        return [given, await termValues(second, negativeLogLikelihood, given, next)] as const;
      });
      requireOneVocabulary(this.original, this.changed, z, changed);
      const divergence = await this.divergenceOf(z, changed, next);
      const best = await top1Ids(first, z, next);
      const same = await termValues(second, top1Hit, changed, best);
      for (const [name, values] of Object.entries({ before, after, divergence, same })) {
        found[name as keyof ComparedWindow].push(
          ...values.filter((_, row) => (next[row] ?? -1) >= 0),
        );
      }
    }
    return found;
  }

  /** KL(p‖q) in nats of each row; meaningless for rows whose next token doesn't count. */
  private async divergenceOf(z: Tensor, changed: Tensor, next: Int32Array): Promise<Float32Array> {
    const { states } = this.changed.executor;
    const read = await this.meter.readOriginal(z);
    const terms = await this.meter.terms(read, changed, int64Tensor(next, [1, next.length]));
    states.letGo(...Object.values(read));
    return terms;
  }
}

/** Top-1 id of each row, −1 for rows whose next token is skipped. */
async function top1Ids(
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
        graph.output('ids', emitArgmax(graph, z), DataType.INT64);
      },
    },
    { z: logits },
  );
  const { data } = outputTensor(outputs, 'ids');
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

/** @throws VocabularyMismatch if the logits are for different ids */
function requireOneVocabulary(original: Reader, changed: Reader, z: Tensor, other: Tensor): void {
  const [ids, others] = [z, other].map(({ dims }) => dims.at(-1));
  if (ids !== others) {
    const [first, second] = [original, changed].map(({ executor }) => executor.model.summary);
    throw new VocabularyMismatch(
      say`${second?.name ?? ''} returns logits of ${others ?? 0} tokens, ${first?.name ?? ''} of ${ids ?? 0}, so only their perplexities can be compared.`,
    );
  }
}
