import type { LayeredExecutor } from '../runtime/layered-executor';
import { LogitsReadout } from './logits-readout';
import type { Metric, MetricName } from './metrics';
import type { AfterRun, Rows } from './row-readout';
import type { Vocabulary } from './vocabulary-sums';
import type { ModelInput } from '../models/model-input';
import { asRows, int64Tensor, rowsBetween } from '../runtime/tensors';
import type { HiddenState, Tensor, Tensors } from '../runtime/tensors';
import { LogitsMeter } from './logits-meter';
import { MetricReadout, nextTokens } from './row-readout';

interface ReadoutOptions {
  /** Executor of the original, if its head differs from the candidates'. */
  readonly original?: LayeredExecutor | undefined;
  /** Ids that terms may be summed over: `sampled` ids are unbiased, `bounded` ids give a lower bound. */
  readonly vocabulary?: Vocabulary;
}

/** Elements of an output in one run of the metric. */
const maxNumbers = 1 << 22;

/**
 * Readout of a model that already is a graph. Its head may be anything and its operators of another opset, so the
 * output is computed first, then the metric.
 */
class OutputReadout extends MetricReadout {
  private readonly meter: LogitsMeter;
  private known: { readonly state: HiddenState; readonly output: Tensor } | undefined;

  public constructor(
    private readonly executor: LayeredExecutor,
    name: MetricName,
    metric: Metric,
    private readonly original: LayeredExecutor,
  ) {
    super(metric);
    this.meter = new LogitsMeter(executor, name, metric, 'candidate');
  }

  public async rowTerms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
    wanted?: Rows,
    afterRun?: AfterRun,
  ): Promise<Float32Array[]> {
    const reference = await this.originalOutput(original);
    const [, rows = 1, width = 1] = reference.dims;
    const { from, to } = wanted ?? { from: 0, to: rows };
    const perRun = Math.max(1, Math.floor(maxNumbers / Math.max(1, width)));
    const terms: Float32Array[] = [];
    for (const candidate of candidates) {
      const output = asRows(await this.executor.output(candidate));
      const own = new Float32Array(to - from);
      for (let start = from; start < to; start += perRun) {
        const end = Math.min(to, start + perRun);
        const read = await this.originalRows(rowsBetween(reference, start, end));
        const next = nextTokens(this.executor.model, input, rows, { from: start, to: end });
        const targets = int64Tensor(next, [1, next.length]);
        own.set(
          await this.meter.terms(read, rowsBetween(output, start, end), targets),
          start - from,
        );
        this.executor.states.letGo(...Object.values(read));
      }
      terms.push(own);
      await afterRun?.();
    }
    return terms;
  }

  public async rows(_input: ModelInput, original: HiddenState): Promise<number> {
    const [, rows = 1] = (await this.originalOutput(original)).dims;
    return rows;
  }

  private async originalRows(logits: Tensor): Promise<Tensors> {
    return this.meter.readsOriginal ? this.meter.readOriginal(logits) : {};
  }

  private async originalOutput(state: HiddenState): Promise<Tensor> {
    if (this.known?.state !== state) {
      this.known = { state, output: asRows(await this.original.output(state)) };
    }
    return this.known.output;
  }
}

/** @param executor runs the candidates */
export function createReadout(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
  { original = executor, vocabulary = 'whole' }: ReadoutOptions = {},
): MetricReadout {
  const [candidates, reference] = [executor.model.emitter, original.model.emitter];
  return candidates === undefined || reference === undefined
    ? new OutputReadout(executor, name, metric, original)
    : new LogitsReadout(executor, name, metric, original, { candidates, reference }, vocabulary);
}

/** One readout per vocabulary; reads the whole vocabulary if the model, metric or memory doesn't allow another. */
export function createReadouts(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
): Readonly<Record<Vocabulary, MetricReadout>> {
  const over = (vocabulary: Vocabulary): MetricReadout =>
    createReadout(executor, name, metric, { vocabulary });
  return { whole: over('whole'), sampled: over('sampled'), bounded: over('bounded') };
}
