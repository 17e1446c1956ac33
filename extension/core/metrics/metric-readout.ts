import type { ModelInput } from '../models/example';
import { stream } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder } from '../onnx/graph-builder';
import type { LayeredExecutor, Readout } from '../runtime/layered-executor';
import { asRows, floatsOf, int64Tensor, join, rowsOf } from '../runtime/tensors';
import type { HiddenState, Tensor } from '../runtime/tensors';
import type { Metric, MetricInputs } from './metrics';
import type { MetricName } from './metric-names';

/** Rows `from` to `to` of an example's output; of a language model, its tokens. */
export interface Rows {
  readonly from: number;
  readonly to: number;
}

/** Awaited after each run of ONNX Runtime, which blocks the thread; may throw to stop. */
export type AfterRun = () => Promise<void>;

/** Measures candidates' final states against the original's. */
export interface MetricReadout {
  /**
   * Each candidate's term of each row; of all rows unless some are named. States may end behind the
   * last row that is read.
   */
  rowTerms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
    rows?: Rows,
    afterRun?: AfterRun,
  ): Promise<Float32Array[]>;
  /** Each candidate's term for one example, see {@link Metric.sequenceTerm}. */
  terms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
  ): Promise<number[]>;
  /** Rows of the output that an example's terms are summed over: tokens of a language model. */
  rows(input: ModelInput, original: HiddenState): Promise<number>;
}

/** @param original runs the original, where that has another head than the candidates, which `executor` runs */
export function createReadout(
  executor: LayeredExecutor,
  name: MetricName,
  metric: Metric,
  original = executor,
): MetricReadout {
  const [candidates, reference] = [executor.model.emitter, original.model.emitter];
  return candidates === undefined || reference === undefined
    ? new OutputReadout(executor, name, metric, original)
    : new LogitsReadout(executor, { candidates, reference }, name, metric);
}

/** Logits in one run, at about the size of a processor's cache; a graph holds a handful of such arrays. */
const cachedLogits = 1 << 20;
/** 64 MiB an array, where a large vocabulary leaves the cache behind anyway. */
const maxLogits = 1 << 24;
/** The original's logits are computed once per run, so several candidates share them. */
const maxBatch = 16;
/** Fewer rows than this leave the head's matrix product waiting for memory. */
const minTokensPerRun = 16;

abstract class RowReadout implements MetricReadout {
  public constructor(protected readonly metric: Metric) {}

  public abstract rowTerms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
    rows?: Rows,
    afterRun?: AfterRun,
  ): Promise<Float32Array[]>;

  public abstract rows(input: ModelInput, original: HiddenState): Promise<number>;

  public async terms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
  ): Promise<number[]> {
    const terms = await this.rowTerms(input, original, candidates);
    return terms.map((rows) => this.metric.sequenceTerm(rows.reduce((sum, term) => sum + term, 0)));
  }
}

/** Head and metric in one graph, some tokens at a time: logits stay inside ONNX Runtime. */
class LogitsReadout extends RowReadout {
  private readonly readout: Readout;

  public constructor(
    private readonly executor: LayeredExecutor,
    private readonly emitters: {
      readonly candidates: ModelEmitter;
      readonly reference: ModelEmitter;
    },
    name: MetricName,
    metric: Metric,
  ) {
    super(metric);
    this.readout = {
      key: `metric.${name}`,
      build: (graph) => {
        const { candidates, reference } = emitters;
        const { hiddenSize } = candidates;
        const original = graph.input('original', DataType.FLOAT, [1, 'sequence', hiddenSize]);
        const candidate = graph.input('candidate', DataType.FLOAT, [
          'batch',
          'sequence',
          hiddenSize,
        ]);
        const targets = graph.input('targets', DataType.INT64, [1, 'sequence']);
        emitTerms(graph, metric, {
          original: reference.emitEpilogue(graph, original),
          candidate: candidates.emitEpilogue(graph, candidate),
          targets,
        });
      },
    };
  }

  public async rowTerms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
    rows: Rows = { from: 0, to: lengthOf(original) },
    afterRun?: AfterRun,
  ): Promise<Float32Array[]> {
    const { vocabularySize } = this.emitters.candidates;
    const affordable = Math.floor(maxLogits / (vocabularySize * minTokensPerRun)) - 1;
    const batch = Math.max(1, Math.min(candidates.length, maxBatch, affordable));
    const fitting = Math.floor(cachedLogits / (vocabularySize * (batch + 1)));
    const tokens = Math.min(rows.to - rows.from, Math.max(minTokensPerRun, fitting));
    const next = nextTokens(input, lengthOf(original));
    const terms = candidates.map(() => new Float32Array(rows.to - rows.from));
    for (let first = 0; first < candidates.length; first += batch) {
      const group = candidates.slice(first, first + batch);
      for (let start = rows.from; start < rows.to; start += tokens) {
        const end = Math.min(start + tokens, rows.to);
        const part = ({ values }: HiddenState): Tensor => rowsOf(values, stream, start, end);
        const outputs = await this.executor.read(this.readout, {
          original: part(original),
          candidate: join(group.map(part)),
          targets: int64Tensor(next.subarray(start, end), [1, end - start]),
        });
        const found = floatsOf(outputs, 'terms');
        group.forEach((_, i) => {
          const own = found.subarray(i * (end - start), (i + 1) * (end - start));
          terms[first + i]?.set(own, start - rows.from);
        });
        await afterRun?.();
      }
    }
    return terms;
  }

  public rows(_input: ModelInput, original: HiddenState): Promise<number> {
    return Promise.resolve(lengthOf(original));
  }
}

/**
 * For a model that is a graph already, whose head may do anything and whose operators may be of
 * another version: its output, then the metric.
 */
class OutputReadout extends RowReadout {
  private known: { readonly state: HiddenState; readonly output: Tensor } | undefined;

  public constructor(
    private readonly executor: LayeredExecutor,
    private readonly name: MetricName,
    metric: Metric,
    private readonly original: LayeredExecutor,
  ) {
    super(metric);
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
    const graph = {
      key: `metric.${this.name}.${width}`,
      bytes: 0,
      build: (builder: GraphBuilder) => {
        const port = (name: string): string =>
          builder.input(name, DataType.FLOAT, [1, 'rows', width]);
        emitTerms(builder, this.metric, {
          original: port('original'),
          candidate: port('candidate'),
          targets: builder.input('targets', DataType.INT64, [1, 'rows']),
        });
      },
    };
    const targets = int64Tensor(nextTokens(input, rows), [1, rows]);
    const terms: Float32Array[] = [];
    for (const candidate of candidates) {
      const feeds = {
        original: reference,
        candidate: asRows(await this.executor.output(candidate)),
        targets,
      };
      const found = floatsOf(await this.executor.compute(graph, feeds), 'terms');
      terms.push(found.subarray(wanted?.from ?? 0, wanted?.to ?? rows));
      await afterRun?.();
    }
    return terms;
  }

  public async rows(_input: ModelInput, original: HiddenState): Promise<number> {
    const [, rows = 1] = (await this.originalOutput(original)).dims;
    return rows;
  }

  private async originalOutput(state: HiddenState): Promise<Tensor> {
    if (this.known?.state !== state) {
      this.known = { state, output: asRows(await this.original.output(state)) };
    }
    return this.known.output;
  }
}

/** Emits each candidate's term of each row: `terms` [batch, rows]. */
function emitTerms(graph: GraphBuilder, metric: Metric, inputs: MetricInputs): void {
  graph.output('terms', metric.emitTerms(graph, inputs), DataType.FLOAT);
}

/** Tokens of one example. */
function lengthOf({ values }: HiddenState): number {
  return values[stream]?.dims[1] ?? 1;
}

/** The id behind each of `rows` tokens, −1 where none is known. */
function nextTokens(input: ModelInput, rows: number): Int32Array {
  const ids = input instanceof Int32Array && input.length === rows ? input : new Int32Array();
  return Int32Array.from({ length: rows }, (_, i) => ids[i + 1] ?? -1);
}
