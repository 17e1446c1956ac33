import { DataType } from '../onnx/graph-builder';
import type { LayeredExecutor, Readout } from '../runtime/layered-executor';
import { floatsOf, int64Tensor, stack } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import type { Metric } from './metrics';
import type { MetricName } from './options';

/** Logits in one run, at about the size of a processor's cache; a graph holds a handful of such arrays. */
const cachedLogits = 1 << 20;
/** 64 MiB an array, where a large vocabulary leaves the cache behind anyway. */
const maxLogits = 1 << 24;
/** The dense model's logits are computed once per run, so several candidates share them. */
const maxBatch = 16;
/** Fewer rows than this leave the head's matrix product waiting for memory. */
const minTokensPerRun = 16;

/** Measures candidates' final hidden states against the dense model's; logits stay inside ONNX Runtime. */
export class MetricReadout {
  private readonly readout: Readout;

  public constructor(
    private readonly executor: LayeredExecutor,
    name: MetricName,
    private readonly metric: Metric,
  ) {
    this.readout = {
      key: `metric.${name}`,
      build: (graph, model) => {
        const { hiddenSize } = model.summary;
        const dense = graph.input('dense', DataType.FLOAT, [1, 'sequence', hiddenSize]);
        const candidate = graph.input('candidate', DataType.FLOAT, [
          'batch',
          'sequence',
          hiddenSize,
        ]);
        const targets = graph.input('targets', DataType.INT64, [1, 'sequence']);
        const terms = metric.emitTerms(graph, {
          dense: model.emitEpilogue(graph, dense),
          candidate: model.emitEpilogue(graph, candidate),
          targets,
        });
        const sums = graph.op('ReduceSum', [terms, graph.ints([1])], { keepdims: 0 });
        graph.output('sums', sums, DataType.FLOAT, ['batch']);
      },
    };
  }

  /** Each candidate's term for one sequence of token ids. */
  public async terms(
    ids: Int32Array,
    dense: HiddenState,
    candidates: readonly HiddenState[],
  ): Promise<number[]> {
    const { hiddenSize, vocabularySize } = this.executor.model.summary;
    const affordable = Math.floor(maxLogits / (vocabularySize * minTokensPerRun)) - 1;
    const batch = Math.max(1, Math.min(candidates.length, maxBatch, affordable));
    const fitting = Math.floor(cachedLogits / (vocabularySize * (batch + 1)));
    const tokens = Math.min(ids.length, Math.max(minTokensPerRun, fitting));
    const next = Int32Array.from(ids, (_, i) => ids[i + 1] ?? -1);
    const sums = new Array<number>(candidates.length).fill(0);
    for (let first = 0; first < candidates.length; first += batch) {
      const group = candidates.slice(first, first + batch);
      for (let start = 0; start < ids.length; start += tokens) {
        const end = Math.min(start + tokens, ids.length);
        const part = (state: HiddenState): HiddenState =>
          state.subarray(start * hiddenSize, end * hiddenSize);
        const outputs = await this.executor.read(this.readout, {
          dense: stack([part(dense)], end - start, hiddenSize),
          candidate: stack(group.map(part), end - start, hiddenSize),
          targets: int64Tensor(next.subarray(start, end), [1, end - start]),
        });
        floatsOf(outputs, 'sums').forEach((sum, i) => {
          sums[first + i] = (sums[first + i] ?? 0) + sum;
        });
      }
    }
    return sums.map((sum) => this.metric.sequenceTerm(sum));
  }
}
