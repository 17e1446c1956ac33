import { availableParallelism } from 'node:os';
import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { collectTensors } from '../runtime/step-values';
import { floatOutput, floatTensor, rowsIn } from '../runtime/tensors';
import type { Tensor, Tensors } from '../runtime/tensors';
import { leastProbability } from './distances';
import type { Metric, MetricInput, MetricInputs } from './metrics';
import { VocabularySums } from './vocabulary-sums';

/** Input of a candidate: its logits ẑ, or the change ẑ − z if the head computes that directly. */
export type CandidateInput = Extract<MetricInput, 'candidate' | 'change'>;

/** Logits per core in one run of a metric; intermediate arrays of this size fit in the CPU caches. */
export const logitsPerCore = 3 << 17;

/** Runs a metric over rows of logits that the caller computes. */
export class LogitsMeter {
  /** Inputs of the metric that come from the original. */
  private readonly reads: readonly MetricInput[];

  public constructor(
    private readonly executor: LayeredExecutor,
    /** Prefix of the session keys. */
    private readonly name: string,
    private readonly metric: Metric,
    private readonly given: CandidateInput,
  ) {
    const { reads } = metric;
    const subtracts = given === 'candidate' && reads.includes('change');
    this.reads = (['original', 'probabilities'] as const).filter(
      (input) => reads.includes(input) || (input === 'original' && subtracts),
    );
  }

  /** True if the metric reads the original's logits. */
  public get readsOriginal(): boolean {
    return this.reads.length > 0;
  }

  /**
   * Metric inputs from the original's logits [1, rows, vocabulary]; the caller disposes tensors on a device.
   * @param logSums log Σ exp z over all ids, float32 [1, rows, 1], if the logits cover only some ids
   */
  public async readOriginal(logits: Tensor, logSums?: Tensor): Promise<Tensors> {
    const width = lastDimension(logits);
    const shape = [1, logits.dims[1] ?? 1, width];
    const { states } = this.executor;
    const original = this.reads.includes('original')
      ? { original: await states.copied(logits) }
      : {};
    if (!this.reads.includes('probabilities')) {
      return original;
    }
    const given = states.stay
      ? undefined
      : { probabilities: floatTensor(new Float32Array(logits.size), shape) };
    const outputs = await this.executor.compute(
      {
        key: `original.${width}${logSums === undefined ? '' : '.some'}`,
        stays: true,
        build: (graph) => {
          const rows = [1, 'rows', width];
          const z = graph.input('z', DataType.FLOAT, rows);
          const softmax =
            logSums === undefined
              ? graph.op('Softmax', [z], { axis: -1 })
              : graph.op('Exp', [
                  graph.op('Sub', [z, graph.input('logSums', DataType.FLOAT, [1, 'rows', 1])]),
                ]);
          const raised = graph.op('Max', [softmax, graph.scalar(leastProbability)]);
          graph.handOver('probabilities', raised, DataType.FLOAT, rows);
        },
      },
      { z: logits, ...(logSums === undefined ? {} : { logSums }) },
      given,
    );
    return { ...original, ...(given ?? collectTensors(outputs, ['probabilities'])) };
  }

  /**
   * Metric terms of the candidates, [batch · rows].
   * @param original inputs from the original's rows
   * @param given the candidates' logits or change, [batch, rows, vocabulary]
   * @param targets int64 [1, rows]
   */
  public async terms(original: Tensors, given: Tensor, targets: Tensor): Promise<Float32Array> {
    const [batch = 1, rows = 1] = given.dims;
    const most = Math.floor((availableParallelism() * logitsPerCore) / lastDimension(given));
    if (this.executor.states.stay || batch * rows <= most) {
      return this.termsAtOnce(original, given, targets);
    }
    const perRun = Math.max(1, most);
    const terms = new Float32Array(batch * rows);
    for (let of = 0; of < batch; of++) {
      for (let start = 0; start < rows; start += perRun) {
        const range = { start, end: Math.min(start + perRun, rows) };
        const read = Object.entries(original).map(([name, tensor]) => [
          name,
          rowsIn(tensor, range),
        ]);
        const found = await this.termsAtOnce(
          Object.fromEntries(read) as Tensors,
          rowsIn(given, range, of),
          rowsIn(targets, range),
        );
        terms.set(found, of * rows + start);
      }
    }
    return terms;
  }

  private async termsAtOnce(
    original: Tensors,
    given: Tensor,
    targets: Tensor,
  ): Promise<Float32Array> {
    const width = lastDimension(given);
    const feeds = {
      ...original,
      [this.given]: given,
      ...(this.metric.reads.includes('targets') ? { targets } : {}),
    };
    const outputs = await this.executor.compute(
      {
        key: `metric.${this.name}.${this.given}.${width}`,
        // Arrays are as large as the logits: allocating them in each run is slower than keeping them.
        keepMemory: true,
        build: (graph) => {
          this.build(graph, width);
        },
      },
      feeds,
    );
    return floatOutput(outputs, 'terms');
  }

  private build(graph: GraphBuilder, width: number): void {
    const port = (name: MetricInput, batch: number | string): Value =>
      graph.input(name, DataType.FLOAT, [batch, 'rows', width]);
    const ports = Object.fromEntries([
      ...this.reads.map((name) => [name, port(name, 1)] as const),
      [this.given, port(this.given, 'batch')],
      ...(this.metric.reads.includes('targets')
        ? [['targets', graph.input('targets', DataType.INT64, [1, 'rows'])] as const]
        : []),
    ]) as Partial<MetricInputs>;
    const { original = '', candidate = '' } = ports;
    const output = (inputs: Partial<MetricInputs>): void => {
      graph.output('terms', this.metric.emitTerms(graph, inputs, width), DataType.FLOAT);
    };
    if (!this.metric.reads.includes('change')) {
      output(ports);
      return;
    }
    const change = ports.change ?? graph.op('Sub', [candidate, original]);
    // Softmax is invariant to a constant per row; subtracting the maximum keeps exponentials at most 1.
    const shifted = this.metric.reads.includes('probabilities')
      ? graph.op('Sub', [change, new VocabularySums(graph, width).largest(change)])
      : change;
    output({ ...ports, change: shifted });
  }
}

function lastDimension({ dims }: Tensor): number {
  return dims.at(-1) ?? 1;
}
